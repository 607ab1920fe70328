"""Accuracy against bits, from what `onnxq eval --csv` appended. A figure."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from onnxq.errors import OnnxqError
from onnxq.figures.base import FIGURES, Figure

WIDTHS = re.compile(r"W([\d.]+)(?:A([\d.]+))?")  # like W4A8, or W4 for weights alone


@FIGURES.register("sweep")
@dataclass(frozen=True)
class Sweep(Figure):
    """A line for each width of activations, over the bits of weights; float files are lines across."""

    inputs: ClassVar[str] = "tables of `onnxq eval --csv`"

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """As ``Figure.draw``."""
        lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for path in paths:
            for row in _rows(path):
                found = WIDTHS.fullmatch(row["widths"])
                if found is None:
                    axes[0].axhline(float(row["top1"]), color="grey", linestyle="--", linewidth=1, label="float")
                    continue
                acts = f"{found[2]} bits" if found[2] else "float"
                lines[acts].append((float(found[1]), float(row["top1"])))
        if not lines:
            raise OnnxqError("nothing to draw: no row is of a file that onnxq quantized")
        for name, points in sorted(lines.items()):
            axes[0].plot(*zip(*sorted(points), strict=True), marker="o", label=f"activations {name}")
        axes[0].set(title="Accuracy against bits", xlabel="bits of weights, mean", ylabel="top-1, %")
        handles = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
        axes[0].legend(handles.values(), handles.keys())


def _rows(path: str) -> list[dict[str, str]]:
    try:
        with Path(path).open(newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            row["widths"], float(row["top1"])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OnnxqError(f"{path}: cannot be read ({error})") from error
    except (KeyError, ValueError, TypeError) as error:
        raise OnnxqError(f"{path}: not a table of `onnxq eval --csv`") from error
    return rows
