"""Results appended to files: a row of comma-separated values, or a line as the published fixed-point system writes it.

Used by `onnxq eval` and `onnxq search`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from onnxq.core.files import append
from onnxq.core.metadata_keys import RECIPE
from onnxq.errors import OnnxqError
from onnxq.evaluation import METRICS
from onnxq.evaluation.evaluate import Evaluation
from onnxq.evaluation.metrics import Chosen
from onnxq.formats.fixed_point import FixedPoint
from onnxq.graph.model_files import load_model, metadata
from onnxq.inspection.quantized_graph import is_quantized
from onnxq.recipe import Recipe

SETTINGS = ("when", "file", "reference", "widths", "recipe", "data", "images", "provider")
COSTS = ("seconds", "bytes")
OTHER = "other"  # widths of a quantized file whose recipe is not known


@dataclass(frozen=True)
class Row:
    """What was evaluated.

    Attributes:
        name: a file or a variant. widths: like W4A8, where one width says it, or ``OTHER``. recipe: as JSON; empty for
            a file that no recipe made.
    """

    name: str
    widths: str
    recipe: str
    result: Evaluation

    @staticmethod
    def of(result: Evaluation) -> Row:
        """Of a file that is there."""
        model = load_model(result.path)
        text = metadata(model).get(RECIPE, "")
        recipe = _readable(text)
        unknown = OTHER if is_quantized(model) else ""
        return Row(str(result.path), recipe.widths if recipe is not None else unknown, text, result)


@dataclass(frozen=True)
class Logs:
    """Files that results are appended to, for these metrics; None for none.

    Attributes:
        table: comma-separated values. lines: as published.
    """

    table: str | None
    lines: str | None
    metrics: Sequence[Chosen]

    @property
    def are_asked_for(self) -> bool:
        """Whether there are any."""
        return self.table is not None or self.lines is not None

    def check(self) -> None:
        """Find out before long work whether they can take the results.

        Raises:
            OnnxqError: a table that is there has other columns, or the metrics say no top-1 for a line.
        """
        texts = {}
        for path in filter(None, (self.table, self.lines)):
            try:
                texts[path] = Path(path).read_text() if Path(path).is_file() else ""
            except (OSError, UnicodeDecodeError) as error:
                raise OnnxqError(f"{path}: cannot be read, and so not appended to ({error})") from error
        if self.table is not None and all(METRICS.parse(metric).columns for metric in self.metrics):
            self._check_columns(texts[self.table])  # a metric of the user's own says its columns when it was measured
        if self.lines is not None and "classification" not in self.metrics:
            raise OnnxqError("`append_line` holds top-1 and top-5: take the metric classification")

    def append(self, rows: Sequence[Row], reference: str, data: str) -> None:
        """A row and a line for each of them; the columns of a table that is there are kept."""
        if self.table is not None:
            append(self.table, lambda old: self._rows(old, rows, reference, data))
        if self.lines is not None:
            append(self.lines, lambda _: "".join(_line(row.result) for row in rows))

    @property
    def _scores(self) -> list[str]:
        return [name for metric in self.metrics for name in METRICS.parse(metric).columns]

    @property
    def _columns(self) -> list[str]:
        return [*SETTINGS, *self._scores, *COSTS]

    def _check_columns(self, old: str) -> None:
        found = old.partition("\n")[0].rstrip("\r")
        if old and found != ",".join(self._columns):
            raise OnnxqError(
                f"`csv` {self.table}: its columns are {found[:500]!r}, these are {','.join(self._columns)!r}"
            )

    def _rows(self, old: str, rows: Sequence[Row], reference: str, data: str) -> str:
        self._check_columns(old)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not old:
            writer.writerow(self._columns)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        for row in rows:
            result = row.result
            settings = [when, row.name, reference, row.widths, row.recipe, data, result.images, result.provider]
            scores = [f"{result.values[name]:.6g}" for name in self._scores]
            writer.writerow([*settings, *scores, f"{result.seconds:.6f}", result.size])
        return text.getvalue()


def _readable(recipe: str) -> Recipe | None:
    """A recipe from metadata; None where there is none, or one of another version of onnxq."""
    try:
        return Recipe.from_json(recipe) if recipe else None
    except OnnxqError:
        return None


def _line(result: Evaluation) -> str:
    """type, param_bits, bn_bits, fwd_bits, overflow_rate, acc1, acc5; shares, not percent."""
    model = load_model(result.path)
    values = metadata(model)
    recipe = _readable(values.get(RECIPE, ""))
    known = recipe is not None or not is_quantized(model)
    settings = _settings(recipe) if known else "param_bits=?, bn_bits=?, fwd_bits=?, overflow_rate=?"
    scores = f"acc1={result.top1 / 100:.4f}, acc5={result.top5 / 100:.4f}"
    return f"type={values.get('model', result.path.stem)}, {settings}, {scores}\n"


def _settings(recipe: Recipe | None) -> str:
    """Bits and overflow rate of a recipe; 32 bits stand for float, as published."""
    param_bits, fwd_bits, rate, bn_bits = 32.0, 32.0, 0.0, None
    if recipe is not None:
        param_bits = recipe.weights.bits
        fwd_bits = recipe.activations.bits if recipe.activations is not None else 32.0
        fixed = [form for form in _formats(recipe) if isinstance(form, FixedPoint)]
        rate, bn_bits = (fixed[0].overflow_rate, fixed[0].batch_norm_bits) if fixed else (0.0, None)
    return (
        f"param_bits={param_bits:g}, bn_bits={bn_bits or param_bits:g}, fwd_bits={fwd_bits:g}, overflow_rate={rate:g}"
    )


def _formats(recipe: Recipe) -> list[object]:
    return [recipe.weights.format, recipe.activations.format if recipe.activations is not None else None]
