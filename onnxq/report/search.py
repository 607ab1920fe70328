"""What a search tried beside a file: an `onnxq sweep`, or `quantize --max-drop`. A part of ``report``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxq.core.metadata_keys import TRIED
from onnxq.core.results import HEADLINES, sweep_result
from onnxq.errors import OnnxqError
from onnxq.evaluation.evaluate import Evaluation
from onnxq.report.facts import Search, Tried

KEPT = "points more than float"
SAME_SIZE = 2_000  # bytes that the list of what was tried takes itself


@dataclass(frozen=True)
class Entry:
    """What was tried, by which metric, and on which and how many images, where that is known."""

    tried: Tried
    metric: str
    data: str = ""
    images: int = 0


def tried_by(reference: Path, results: Path | None, metadata: Mapping[str, str]) -> list[Entry]:
    """What a search has said: of the folder of a sweep, where one is given, else of the file's own metadata.

    Raises:
        OnnxqError: there is no such folder, or it has no results of this network.
    """
    if results is None:
        return _of_drop(metadata)
    if not results.is_dir():
        raise OnnxqError(f"{results}: no such folder")
    found = [sweep_result(path) for path in sorted(results.glob("*.json"))]
    found = [each for each in found if Path(each["model"]).name == reference.name]
    if not found:
        raise OnnxqError(f"{results}: no results of `onnxq sweep` for {reference.name}")
    metric = next((name for name in HEADLINES if all(name in each["result"] for each in found)), None)
    if metric is None:
        raise OnnxqError(f"{results}: the results have no metric in common that says how good a file is")
    return [
        Entry(
            Tried(each["name"], int(each["result"]["bytes"]), float(each["result"][metric])),
            metric,
            each["data"],
            int(each["result"].get("images", 0)),
        )
        for each in found
    ]


def search_of(entries: Sequence[Entry], own: Evaluation, size: int, data: str) -> Search | None:
    """With this file among them where it was measured on the same images, or is one of them; None of none."""
    if not entries:
        return None
    tried, metric = tuple(entry.tried for entry in entries), entries[0].metric
    place = next((each for each in tried if abs(each.bytes - size) < SAME_SIZE), None) if metric == KEPT else None
    if metric in own.values and all((entry.data, entry.images) == (data, own.images) for entry in entries):
        place = Tried(own.path.name, size, own.values[metric])
    return Search(metric, tried, place)


def _of_drop(metadata: Mapping[str, str]) -> list[Entry]:
    """Empty where it was edited to something else."""
    try:
        return [
            Entry(Tried(f"{bits:.2f} bits", int(each["size"]), -float(each["lost"])), KEPT)
            for each in json.loads(metadata.get(TRIED, "[]"))
            for bits in [each.get("reached") or each["bits"]]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
