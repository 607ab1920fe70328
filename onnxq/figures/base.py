"""What a figure is, and how it is written. A part of ``figures``."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from onnxq.core.files import replacing
from onnxq.core.optional import optional
from onnxq.core.registry import Registry
from onnxq.errors import OnnxqError

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # told apart by all eyes (Okabe and Ito)
SUFFIXES = (".svg", ".png", ".html", ".pdf")


@dataclass(frozen=True)
class Figure:
    """A figure. Subclasses are frozen dataclasses whose fields are their parameters.

    Attributes:
        inputs: what files it is drawn from, for the help text; empty for none.
    """

    inputs: ClassVar[str] = ""

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """Draw on matplotlib's axes.

        Args:
            axes: as many as ``panels``. paths: of ``inputs``.

        Raises:
            OnnxqError: a file is missing, or there is nothing to draw in it.
        """
        raise NotImplementedError

    @property
    def panels(self) -> int:
        """How many axes it has, side by side."""
        return 1


FIGURES: Registry[Figure] = Registry("figure", "onnxq.figures")


def save_figure(figure: Figure, paths: Sequence[str], output: str | Path) -> None:
    """Draw, and write an .svg, .png, .pdf or .html file; the same input gives the same file.

    Raises:
        OnnxqError: matplotlib is not installed, the suffix is another one, or the figure cannot be drawn.
    """
    suffix = Path(output).suffix.lower()
    if suffix not in SUFFIXES:
        raise OnnxqError(f"{output}: figures are {', '.join(SUFFIXES)} files")
    optional("matplotlib", "plot", "figures need matplotlib")
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure as Canvas

    style: Any = {"svg.hashsalt": "onnxq", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
             "grid.alpha": 0.25, "axes.prop_cycle": cycler(color=COLOURS), "font.size": 10}  # fmt: skip
    with matplotlib.rc_context(style):
        canvas = Canvas(figsize=(1.5 + 5 * figure.panels, 4.2), layout="constrained")
        axes = canvas.subplots(1, figure.panels, squeeze=False)[0]
        figure.draw(axes, paths)
        content = io.BytesIO()
        kind = "svg" if suffix == ".html" else suffix[1:]
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        canvas.savefig(content, format=kind, dpi=150, metadata=dates)
    data = content.getvalue()
    if suffix == ".html":
        data = _page(axes[0].get_title(), data.decode()).encode()
    with replacing(output) as temporary:
        temporary.write_bytes(data)


def _page(title: str, svg: str) -> str:
    """A page of its own, which loads nothing."""
    picture = svg[svg.index("<svg") :]
    style = "body { margin: 2em auto; max-width: 70em; background: white } svg { width: 100%; height: auto }"
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{style}</style>'
    return f"<!DOCTYPE html>\n<html lang=en><head>{head}</head>\n<body>{picture}</body></html>\n"
