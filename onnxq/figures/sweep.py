"""Accuracy against bits, from what `onnxq eval --csv` appended. A figure."""

from __future__ import annotations

import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from onnxq.errors import OnnxqError
from onnxq.figures.base import FIGURES, Figure

NUMBER = r"(\d+(?:\.\d+)?)"
WIDTHS = re.compile(f"W{NUMBER}(?:A{NUMBER})?")  # like W4A8, or W4 for weights alone
FLOAT = 32.0  # bits
LONGEST_LABEL = 60


@FIGURES.register("sweep")
@dataclass(frozen=True)
class Sweep(Figure):
    """A line for each width of activations, over the bits of weights; float files are lines across.

    Networks, data, and recipes that differ in more than widths are kept apart. Rows of files whose layers differ in
    widths, or whose recipe is not known, are left out.
    """

    inputs: ClassVar[str] = "tables of `onnxq eval --csv`"

    def draw(self, axes: Sequence[Any], paths: Sequence[str]) -> None:
        """As ``Figure.draw``."""
        rows = [row for path in paths for row in _rows(path)]
        several = len({_subject(row) for row in rows}) > 1
        recipes = list(dict.fromkeys(_settings(row["recipe"]) for row in rows if row["recipe"]))
        lines: dict[tuple[str, float, int], list[tuple[float, float]]] = defaultdict(list)
        for row in rows:
            subject = _subject(row) if several else ""
            if not row["recipe"] and not row["widths"]:
                label = f"{subject} float".strip()
                axes[0].axhline(float(row["top1"]), color="grey", linestyle="--", linewidth=1, label=label)
            elif found := WIDTHS.fullmatch(row["widths"]):
                acts = float(found[2]) if found[2] else FLOAT
                recipe = recipes.index(_settings(row["recipe"]))
                lines[subject, acts, recipe].append((float(found[1]), float(row["top1"])))
        if not lines:
            raise OnnxqError("nothing to draw: no row is of a file that onnxq quantized at one width for all layers")
        for (subject, acts, recipe), points in sorted(lines.items()):
            label = f"{subject} activations {'float' if acts == FLOAT else f'{acts:g} bits'}".strip()
            label += f", {recipes[recipe]}" if len(recipes) > 1 else ""
            axes[0].plot(*zip(*sorted(points), strict=True), marker="o", label=label)
        axes[0].set(title="Accuracy against bits", xlabel="bits of weights, mean", ylabel="top-1, %")
        handles = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
        axes[0].legend(handles.values(), handles.keys())


def _subject(row: dict[str, str]) -> str:
    """The network and the data of a row."""
    return f"{Path(row['reference']).name}, {row['data']}:"


def _settings(recipe: str) -> str:
    """A recipe without its widths, as a label has it."""
    try:
        content = json.loads(recipe)
    except (ValueError, RecursionError):
        return recipe
    if isinstance(content, dict):
        content.pop("bits", None)
        for part in ("weights", "activations"):
            if isinstance(content.get(part), dict):
                content[part].pop("bits", None)
        content = {name: value for name, value in content.items() if value not in ({}, None)}
    text = json.dumps(content)
    return text if len(text) <= LONGEST_LABEL else f"{text[:LONGEST_LABEL]}..."


def _rows(path: str) -> list[dict[str, str]]:
    try:
        with Path(path).open(newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            texts = [row[name] for name in ("reference", "data", "recipe", "widths")]
            if None in texts or not math.isfinite(float(row["top1"])):
                raise ValueError
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OnnxqError(f"{path}: cannot be read ({error})") from error
    except (KeyError, ValueError, TypeError) as error:
        raise OnnxqError(f"{path}: not a table of `onnxq eval --csv`, or a damaged one") from error
    return rows
