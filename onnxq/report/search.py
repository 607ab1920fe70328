"""What a search tried beside a file: an `onnxq sweep`, or `quantize --max-drop`. A part of ``report``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from onnxq.core.metadata_keys import TRIED
from onnxq.core.results import HEADLINES, sweep_result
from onnxq.errors import OnnxqError
from onnxq.evaluation.evaluate import Evaluation
from onnxq.report.facts import Search, Tried


def search_of(reference: Path, own: Evaluation, results: Path | None, metadata: Mapping[str, str]) -> Search | None:
    """Of the folder of a sweep, where there is one, else of what the file itself says; None where nothing is known.

    Raises:
        OnnxqError: the folder has no results of this network.
    """
    if results is None:
        return _of_drop(metadata, own)
    found = [sweep_result(path) for path in sorted(results.glob("*.json"))]
    found = [each for each in found if Path(each["model"]).name == reference.name]
    if not found:
        raise OnnxqError(f"{results}: no results of `onnxq sweep` for {reference.name}")
    metric = next((name for name in HEADLINES if all(name in each["result"] for each in found)), None)
    if metric is None:
        raise OnnxqError(f"{results}: the results have no metric in common that says how good a file is")
    tried = [Tried(each["name"], int(each["result"]["bytes"]), float(each["result"][metric])) for each in found]
    place = Tried(own.path.name, own.size, own.values[metric]) if metric in own.values else None
    return Search(metric, tuple(tried), place)


def _of_drop(metadata: Mapping[str, str], own: Evaluation) -> Search | None:
    """None where it was edited to something else."""
    try:
        entries = json.loads(metadata.get(TRIED, "[]"))
        tried = tuple(Tried(f"{each['bits']:.2f} bits", int(each["size"]), -float(each["lost"])) for each in entries)
    except (ValueError, KeyError, TypeError):
        return None
    return Search("points more than float", tried) if tried else None
