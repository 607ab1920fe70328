"""The plots of a report, by bokeh: they need no network, and tell what is under the pointer. A part of ``report``.

``page.js`` fills the sources ``weight`` and ``read`` of the layer that is chosen, and colours what is called
``themed-0``, ``themed-1`` and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxq.core.optional import optional
from onnxq.core.results import pareto_front
from onnxq.report.facts import ReportedLayer, Search

BLUE, ORANGE, GREEN, GREY = "#3b8ed0", "#e0762b", "#2aa57d", "#8a8a8a"  # told apart by all eyes, on light and on dark
TOOLS = "xwheel_zoom,xpan,reset"
LEAST = 1e-6  # share of values that is drawn


def check_installed() -> None:
    """Before anything is measured.

    Raises:
        OnnxqError: bokeh is not installed.
    """
    optional("bokeh", "report", "reports need bokeh")


def plots(layers: Sequence[ReportedLayer], search: Search | None) -> dict[str, Any]:
    """Figures of bokeh by name: ``layers``, ``bits``, ``weight``, ``read``, and ``search`` where one was run.

    Raises:
        OnnxqError: bokeh is not installed.
    """
    check_installed()
    import bokeh.models

    source = bokeh.models.ColumnDataSource(_columns(layers), name="layers")
    choose = bokeh.models.CustomJS(code="const at = cb_obj.indices; if (at.length) onnxqChoose(at[0], true);")
    source.selected.js_on_change("indices", choose)
    found = {
        "layers": _over_layers(source, "SQNR, dB", {"accumulated": BLUE, "alone": ORANGE}),
        "bits": _over_layers(source, "bits of weights", {"bits": GREEN}),
        "weight": _values("weight"),
        "read": _values("read"),
    }
    found = found if search is None else {"search": _tried(search), **found}
    themed = [model for figure in found.values() for model in (*figure.axis, *figure.grid, *figure.legend)]
    for number, model in enumerate(themed):
        model.name = f"themed-{number}"
    return found


def _columns(layers: Sequence[ReportedLayer]) -> dict[str, list[Any]]:
    return {
        "place": list(range(len(layers))),
        "name": [layer.name for layer in layers],
        "alone": [_finite(layer.alone) for layer in layers],
        "accumulated": [_finite(layer.accumulated) for layer in layers],
        "bits": [layer.bits for layer in layers],
    }


def _finite(decibels: float | None) -> float | None:
    return decibels if decibels is not None and abs(decibels) < float("inf") else None


def _figure(**options: Any) -> Any:
    """Of the width there is, in the colours of the page."""
    import bokeh.plotting

    figure = bokeh.plotting.figure(height=260, sizing_mode="stretch_width", toolbar_location="above", **options)
    figure.toolbar.logo = None
    figure.background_fill_color = figure.border_fill_color = figure.outline_line_color = None
    return figure


def _over_layers(source: Any, heading: str, columns: dict[str, str]) -> Any:
    tips = [("layer", "@name"), *((name, f"@{name}{{0.0}}") for name in columns)]
    figure = _figure(x_axis_label="layer", y_axis_label=heading, tools=f"tap,{TOOLS}", tooltips=tips)
    for name, colour in columns.items():
        label = {"legend_label": name} if len(columns) > 1 else {}
        figure.line("place", name, source=source, color=colour, alpha=0.5, nonselection_alpha=0.5, **label)
        figure.scatter(
            "place", name, source=source, color=colour, size=6, nonselection_alpha=1, selection_line_width=6, **label
        )
    if len(columns) > 1:
        _place_legend(figure)
    return figure


def _place_legend(figure: Any) -> None:
    figure.legend.background_fill_alpha = 0
    figure.legend.border_line_color = None
    figure.legend.orientation = "horizontal"
    figure.legend.margin = figure.legend.padding = 0
    figure.add_layout(figure.legend[0], "above")


def _values(kind: str) -> Any:
    """Histograms, the range and the levels of what is chosen."""
    import bokeh.models

    def source(part: str, *columns: str) -> Any:
        return bokeh.models.ColumnDataSource({column: [] for column in columns}, name=f"{kind}-{part}")

    figure = _figure(
        x_axis_label="value", y_axis_label="share of values", y_axis_type="log", tools="xwheel_zoom,xpan,reset"
    )
    figure.x_range = bokeh.models.Range1d(start=0, end=1, name=f"{kind}-ends")
    figure.y_range = bokeh.models.Range1d(start=LEAST, end=1.5)
    bars = {"bottom": LEAST, "line_color": None}
    places = ("left", "right", "top")
    figure.quad(*places, source=source("exact", *places), color=BLUE, alpha=0.45, legend_label="float", **bars)
    if kind == "weight":
        figure.quad(
            *places,
            source=source("quantized", *places),
            fill_color=ORANGE,
            fill_alpha=0.6,
            legend_label="quantized",
            **bars,
        )
    levels = source("levels", "at")
    figure.segment("at", LEAST, "at", 4 * LEAST, source=levels, color=GREEN, line_width=2, legend_label="levels")
    ends = source("range", "at")
    figure.segment("at", LEAST, "at", 1, source=ends, color=GREY, line_dash="dashed", legend_label="range")
    _place_legend(figure)
    return figure


def _tried(search: Search) -> Any:
    """A point for each file; a line through those that no other beats."""
    import bokeh.models

    columns: dict[str, list[Any]] = {
        "name": [each.name for each in search.tried],
        "bytes": [each.bytes for each in search.tried],
        "value": [each.value for each in search.tried],
    }
    tips = [("file", "@name"), ("bytes", "@bytes{0,0}"), (search.heading, "@value{0.00}")]
    figure = _figure(x_axis_label="bytes", y_axis_label=search.heading, tools=TOOLS, tooltips=tips)
    figure.xaxis.formatter = bokeh.models.NumeralTickFormatter(format="0,0")
    source = bokeh.models.ColumnDataSource(columns)
    front = pareto_front(columns["bytes"], columns["value"])
    best = {name: [values[place] for place in front] for name, values in columns.items()}
    figure.line("bytes", "value", source=bokeh.models.ColumnDataSource(best), color=BLUE, legend_label="best")
    figure.scatter("bytes", "value", source=source, color=BLUE, size=7, legend_label="tried")
    if search.own is not None:
        own = {"name": [search.own.name], "bytes": [search.own.bytes], "value": [search.own.value]}
        place = bokeh.models.ColumnDataSource(own)
        figure.scatter(
            "bytes", "value", source=place, color=ORANGE, size=12, marker="diamond", legend_label="this file"
        )
    _place_legend(figure)
    return figure
