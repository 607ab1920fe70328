"""Results appended to files: a row of comma-separated values, or a line as the published fixed-point system writes it.

Used by `onnxq eval`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from onnxq.core.files import replacing
from onnxq.errors import OnnxqError
from onnxq.evaluation.evaluate import Evaluation
from onnxq.formats.fixed_point import FixedPoint
from onnxq.graph.model_files import load_model, metadata
from onnxq.recipe import Recipe


@dataclass(frozen=True)
class Row:
    """What was evaluated: a file or a variant, and its recipe, if it is quantized by onnxq."""

    name: str
    recipe: Recipe | None
    result: Evaluation

    @staticmethod
    def of(result: Evaluation) -> Row:
        """Of a file that is there."""
        recipe = metadata(load_model(result.path)).get("onnxq.recipe", "")
        return Row(str(result.path), Recipe.from_json(recipe) if recipe else None, result)


def append_rows(path: str, rows: Sequence[Row], data: str) -> None:
    """A row for each of them: settings, what was measured, seconds. The columns of a table that is there are kept.

    Raises:
        OnnxqError: the file is there and has other columns.
    """
    old = _text_of(path)
    names = [
        "when",
        "file",
        "widths",
        "recipe",
        "data",
        "images",
        "provider",
        *rows[0].result.values,
        "seconds",
        "bytes",
    ]
    if old and old.splitlines()[0].split(",") != names:
        raise OnnxqError(f"`csv` {path}: its columns are {old.splitlines()[0]!r}, these are {','.join(names)!r}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not old:
        writer.writerow(names)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    for row in rows:
        result = row.result
        values = [f"{value:.6g}" for value in result.values.values()]
        recipe = [row.recipe.widths, row.recipe.to_json()] if row.recipe is not None else ["", ""]
        settings = [when, row.name, *recipe, data, result.images, result.provider]
        writer.writerow([*settings, *values, f"{result.seconds:.6f}", result.size])
    _replace(path, old + text.getvalue())


def append_lines(path: str, results: Sequence[Evaluation]) -> None:
    """A line for each file: type, param_bits, bn_bits, fwd_bits, overflow_rate, acc1, acc5 (shares, not percent).

    Raises:
        OnnxqError: top-1 and top-5 were not measured.
    """
    lines = []
    for result in results:
        if "top1" not in result.values:
            raise OnnxqError("`append_line` holds top-1 and top-5: take the metric classification")
        values = metadata(load_model(result.path))
        settings = _settings(values.get("onnxq.recipe"))
        scores = f"acc1={result.top1 / 100:.4f}, acc5={result.top5 / 100:.4f}"
        lines.append(f"type={values.get('model', result.path.stem)}, {settings}, {scores}\n")
    _replace(path, _text_of(path) + "".join(lines))


def _settings(recipe_text: str | None) -> str:
    """Bits and overflow rate of a recipe; 32 bits stand for float, as published."""
    param_bits, fwd_bits, rate, bn_bits = 32.0, 32.0, 0.0, None
    if recipe_text:
        recipe = Recipe.from_json(recipe_text)
        param_bits = recipe.weights.bits
        fwd_bits = recipe.activations.bits if recipe.activations is not None else 32.0
        fixed = [form for form in _formats(recipe) if isinstance(form, FixedPoint)]
        rate, bn_bits = (fixed[0].overflow_rate, fixed[0].batch_norm_bits) if fixed else (0.0, None)
    return (
        f"param_bits={param_bits:g}, bn_bits={bn_bits or param_bits:g}, fwd_bits={fwd_bits:g}, overflow_rate={rate:g}"
    )


def _formats(recipe: Recipe) -> list[object]:
    return [recipe.weights.format, recipe.activations.format if recipe.activations is not None else None]


def _text_of(path: str) -> str:
    file = Path(path)
    try:
        return file.read_text() if file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise OnnxqError(f"{path}: cannot be read, and so not appended to ({error})") from error


def _replace(path: str, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)
