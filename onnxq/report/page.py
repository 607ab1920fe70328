"""A report as one HTML page, which loads nothing. An entrance of ``report``."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onnxq.report.facts import Flip, Guess, Histogram, Report, ReportedLayer, Seen
from onnxq.report.plots import plots
from onnxq.report.summary import versions

COLUMNS = (  # heading, of which kind, what it says
    ("layer", "text", "node of the network"),
    ("op", "text", "its operator"),
    ("bits", "number", "of its weights as they are stored, the mean over channels (how many channels have how many)"),
    ("reads", "number", "bits of what it reads, the mean over channels"),
    ("alone", "number", "SQNR of its output in dB where it alone is quantized"),
    ("accumulated", "number", "SQNR of its output in dB in the quantized network"),
    ("range", "number", "largest magnitude of its weights"),
    ("size", "number", "its weights' share of the file, in percent; of weights that layers share, their part"),
    ("work", "number", "its share of the multiplications of all layers, in percent"),
    ("computes", "text", "as the runtime sees it, and what is known of a low SQNR"),
)


def page(report: Report) -> str:
    """HTML with its style, script, plots and pictures.

    Raises:
        OnnxqError: bokeh is not installed.
    """
    figures = plots(report.layers, report.search)
    from bokeh.embed import components
    from bokeh.resources import Resources

    script, made = components(figures)
    sections = [
        _section("Summary", _facts(report.facts)),
        _section("Search", made["search"]) if "search" in made else "",
        _section("Layers", f"{made['layers']}{made['bits']}{_chosen(made)}{_table(report.layers)}"),
        _section("In float, and what to know", _list(report.notes)),
        _section(_flips_heading(report), _flips(report.flips)) if report.flips is not None else "",
        _section("Make it again", _reproduced(report)) if report.recipe else "",
    ]
    made_at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {versions()}"
    return (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        '<meta name=color-scheme content="light dark">'
        f'<link rel=icon href="data:,"><title>{_text(report.title)}</title><style>{_asset("page.css")}</style></head>\n'
        f"<body><h1>{_text(report.title)}</h1>\n{''.join(sections)}<footer>{_text(made_at)}</footer>\n"
        f'<script type="application/json" id=layers-data>{_json([_drawn(layer) for layer in report.layers])}</script>\n'
        f"{Resources(mode='inline', components=['bokeh']).render()}\n<script>{_asset('page.js')}</script>{script}\n"
        "</body></html>\n"
    )


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _text(text: object) -> str:
    """Names in a model can be anything."""
    return html.escape(str(text))


def _json(content: object) -> str:
    """In a script element: no text in it can end it."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{_text(heading)}</h2>\n{content}</section>\n"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{_text(heading)}</dt><dd>{_text(text)}</dd>" for heading, text in facts)
    return f"<dl>{rows}</dl>"


def _list(notes: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(note)}</li>' for note in notes)}</ul>" if notes else "<p>Nothing.</p>"


def _chosen(made: dict[str, str]) -> str:
    return (
        "<h3 id=chosen aria-live=polite></h3><div class=pair><figure><figcaption>its weights</figcaption>"
        f"{made['weight']}</figure><figure><figcaption>what it reads</figcaption>{made['read']}</figure></div>"
        "<p class=hint>Levels are those of the channel of middle range.</p>"
    )


def _table(layers: Sequence[ReportedLayer]) -> str:
    heads = "".join(f"<th scope=col data-kind={kind}><button>{heading}</button></th>" for heading, kind, _ in COLUMNS)
    rows = "".join(_row(number, layer) for number, layer in enumerate(layers))
    return (
        "<label>Filter <input id=filter type=search placeholder='name, operator, reason'></label> "
        "<span id=count aria-live=polite></span>"
        f"<div class=wide tabindex=0><table id=layers><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
        f"<details><summary>What the columns say</summary>{_facts((name, said) for name, _, said in COLUMNS)}</details>"
    )


def _row(number: int, layer: ReportedLayer) -> str:
    reach = max(map(abs, layer.weight.range)) if layer.weight.range is not None else None
    widths = " ".join(f"{bits}:{count}" for bits, count in sorted(layer.widths.items()))
    cells = [
        _cell(layer.name, f"<button>{_text(layer.name)}</button>"),
        _cell(layer.op),
        _number(layer.bits, ".2f", f" ({widths})" if len(layer.widths) > 1 else ""),
        _number(layer.read_bits, "g"),
        _number(layer.alone, ".1f"),
        _number(layer.accumulated, ".1f"),
        _number(reach, ".3g"),
        _number(100 * layer.size, ".1f"),
        _number(100 * layer.work if layer.work is not None else None, ".1f"),
        _cell("; ".join(filter(None, (layer.computes, layer.reason)))),
    ]
    return f"<tr data-number={number}>{''.join(cells)}</tr>"


def _cell(text: str, shown: str | None = None) -> str:
    return f'<td data-value="{_text(text)}">{shown if shown is not None else _text(text)}</td>'


def _number(value: float | None, spec: str, said: str = "") -> str:
    if value is None or math.isnan(value):
        return "<td data-value=''></td>"
    text = "exact" if value == math.inf else "none" if value == -math.inf else f"{value:{spec}}"
    sorted_by = math.copysign(1e99, value) if math.isinf(value) else value
    more = f"<small>{said}</small>" if said else ""
    return f"<td data-value={sorted_by}>{text}{more}</td>"


def _drawn(layer: ReportedLayer) -> dict[str, Any]:
    return {"name": layer.name, "weight": _seen(layer.weight), "read": _seen(layer.read)}


def _seen(seen: Seen) -> dict[str, Any]:
    ends = [_short(value) for value in seen.range] if seen.range is not None else []
    levels = [_short(value) for value in seen.levels]
    return {"exact": _bars(seen.exact), "quantized": _bars(seen.quantized), "range": ends, "levels": levels}


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _bars(histogram: Histogram | None) -> dict[str, Any] | None:
    if histogram is None:
        return None
    return {"low": histogram.low, "high": histogram.high, "shares": histogram.shares}


def _flips_heading(report: Report) -> str:
    shown = len(report.flips or ())
    first = f", the {shown} of which the float network is surest" if shown < report.flipped else ""
    count = "1 image has" if report.flipped == 1 else f"{report.flipped} images have"
    return f"{count} another class{first}"


def _flips(flips: Sequence[Flip]) -> str:
    return f"<div class=flips>{''.join(map(_flip, flips))}</div>" if flips else "<p>None.</p>"


def _flip(flip: Flip) -> str:
    encoded = base64.b64encode(flip.picture).decode()
    picture = f'<img alt="{_text(flip.name)}" src="data:image/jpeg;base64,{encoded}">' if flip.picture else ""
    label = f"<dt>label</dt><dd>{_text(flip.label)}</dd>" if flip.label else ""
    guesses = f"<dt>float</dt><dd>{_guess(flip.exact)}</dd><dt>quantized</dt><dd>{_guess(flip.quantized)}</dd>"
    return f"<article>{picture}<h3>{_text(flip.name)}</h3><dl>{label}{guesses}</dl></article>"


def _guess(guess: Guess) -> str:
    return f"{_text(guess.name)} <small>{100 * guess.share:.0f} %</small>"


def _reproduced(report: Report) -> str:
    return (
        f"<p>With this as recipe.yaml, and the images that it was calibrated on in place of those of this report:</p>"
        f"<pre>{_text(report.command)}</pre><pre>{_text(report.recipe)}</pre>"
    )
