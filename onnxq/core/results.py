"""What tables, files and figures of results share: which of them are best, and what JSON can hold. A ground module."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxq.errors import OnnxqError

HEADLINES = (
    "top1",
    "mAP",
    "mIoU",
    "characters",
    "sqnr",
)  # how good a file is: the first one known


def pareto_front(costs: Sequence[float], values: Sequence[float], *, more_is_better: bool = False) -> list[int]:
    """Places of those that no other beats in value at the same cost or less, cheapest first.

    Args:
        more_is_better: of the costs, as of speeds.

    >>> pareto_front([10, 20, 30, 40], [70, 60, 80, 80])
    [0, 2]
    """
    sign = -1 if more_is_better else 1
    best, found = float("-inf"), []
    for place in sorted(range(len(costs)), key=lambda place: (sign * costs[place], -values[place])):
        if values[place] > best:
            best = values[place]
            found.append(place)
    return found


def plain(content: object) -> object:
    """What JSON can hold: numbers that are not finite as text ("inf", "-inf", "nan"), paths as text."""
    if isinstance(content, float):
        return content if math.isfinite(content) else str(content)
    if isinstance(content, dict):
        return {str(name): plain(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    return str(content) if isinstance(content, Path) else content


def sweep_result(path: str | Path) -> dict[str, Any]:
    """``model``, ``name`` and ``result`` of a file that `onnxq sweep` wrote.

    Raises:
        OnnxqError: it cannot be read, or is none of these.
    """
    try:
        content = json.loads(Path(path).read_text())
        found: dict[str, Any] = {"model": str(content["model"]), "result": dict(content["result"])}
        found["name"] = str(content.get("name", ""))
        found["data"] = str(content.get("data", [""])[-1])  # that it was evaluated on
        for name in ("bytes", "images_per_second"):
            if not float(found["result"][name]) > 0:
                raise ValueError(name)
    except OSError as error:
        raise OnnxqError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OnnxqError(f"{path}: no result of `onnxq sweep`") from error
    return found
