"""Whether what a statistics file holds can be statistics. A ground module, called by ``Statistics.load``.

A file of a stranger, or one with a flipped bit, is told by what must hold of any values: extremes in order, counts that
agree, sums within what the extremes allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.batch_averages import FIELDS
from onnxq.core.histogram import ANCHORS, BINS, HALF

ROW = {"minimum": 4, "maximum": 4, "sum": 8, "sum_squares": 8, "anchor": 4, "histogram": 8 * BINS}  # bytes a channel
MOST_CHANNELS = 2**20
FLOATS = {
    "minimum": np.float32,
    "maximum": np.float32,
    "anchor": np.float32,
    "sum": np.float64,
    "sum_squares": np.float64,
}
ROUNDING = 1e-4  # of sums, relative
ORIGIN = {"points": str, "batch_size": int, "preprocessing": dict}


def meta_problem(meta: object) -> str:
    """What is wrong with the description of the tensors; empty if nothing is."""
    if not isinstance(meta, dict):
        return "its description is no mapping"
    if not isinstance(meta.get("fingerprint"), str) or not _is_count(meta.get("images")):
        return "it does not say of which model it is, or of how many images"
    percentile = meta.get("moving_percentile")
    if percentile is not None and not (_is_number(percentile) and 0 <= percentile <= 100):
        return f"its percentile is {percentile!r:.40}"
    tensors = meta.get("tensors")
    if not isinstance(tensors, list) or not tensors or not all(map(_is_tensor, tensors)):
        return "its list of tensors is damaged"
    if len({entry["name"] for entry in tensors}) != len(tensors):
        return "two of its tensors have one name"
    if channels_of(meta) > MOST_CHANNELS:
        return f"it is of more than {MOST_CHANNELS} channels"
    return _origin_problem(meta.get("origin", {}))


def channels_of(meta: Mapping[str, Any]) -> int:
    """Of all tensors together."""
    return sum(entry["channels"] for entry in meta["tensors"])


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**62


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_tensor(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and _is_count(entry.get("channels"))
        and _is_count(entry.get("count"))
    )


def _origin_problem(origin: object) -> str:
    if not isinstance(origin, dict) or not set(origin) <= set(ORIGIN):
        return "it does not say how it was made"
    if not all(value is None or isinstance(value, ORIGIN[name]) for name, value in origin.items()):
        return "what it says about how it was made is damaged"
    texts = (origin.get("preprocessing") or {}).items()
    return "" if all(isinstance(text, str) for item in texts for text in item) else "its preprocessing is damaged"


def arrays_problem(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], moving: NDArray[Any] | None) -> str:
    """What is wrong with the rows of all channels; empty if nothing is."""
    rows = channels_of(meta)
    for name, array in arrays.items():
        shape = (rows, BINS) if name == "histogram" else (rows,)
        fits = array.dtype == FLOATS[name] if name in FLOATS else array.dtype.kind in "iu"
        if array.shape != shape or not fits:
            return f"{name} is {array.dtype} {list(array.shape)}, not {list(shape)}"
        if name in FLOATS and not np.isfinite(array).all():
            return f"{name} is not finite"
    counts = np.repeat([entry["count"] for entry in meta["tensors"]], [entry["channels"] for entry in meta["tensors"]])
    return _values_problem(arrays, counts) or _moving_problem(meta, moving, rows)


def _values_problem(arrays: Mapping[str, NDArray[Any]], counts: NDArray[np.int64]) -> str:
    low, high, histogram = (arrays[name] for name in ("minimum", "maximum", "histogram"))
    reach = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
    if (low > high).any():
        return "a minimum is above its maximum"
    anchor = arrays["anchor"].astype(np.float64)
    if (anchor < np.minimum(reach, ANCHORS[-1])).any() or (anchor <= 0).any():
        return "an anchor is below the values"
    if (histogram < 0).any() or (histogram.sum(axis=1, dtype=np.float64) != counts.astype(np.float64)).any():
        return "a histogram does not add up to the count"
    # Sums behind a ReLU are taken from histograms, all are rounded to parts of the anchor: the bin of the extreme is
    # their bound.
    bins = np.floor(HALF * np.sqrt(np.minimum(reach / anchor, 1))) + 1
    bound = np.maximum(reach, anchor * (bins / HALF) ** 2) * (1 + ROUNDING)
    if (np.abs(arrays["sum"]) > counts * bound).any():
        return "a sum is beyond the extremes"
    squares = arrays["sum_squares"]
    if (squares < 0).any() or (squares > counts * bound**2).any():
        return "a sum of squares is beyond the extremes"
    return ""


def _moving_problem(meta: Mapping[str, Any], moving: NDArray[Any] | None, rows: int) -> str:
    if (moving is None) != (meta.get("moving_percentile") is None):
        return "moving averages and their percentile do not go together"
    if moving is None:
        return ""
    shape = (rows + len(meta["tensors"]),)
    if moving.shape != shape or moving.dtype != np.float64 or not np.isfinite(moving).all() or (moving < 0).any():
        return "the moving averages are damaged"
    return ""


def averages_problem(meta: Mapping[str, Any], averages: NDArray[Any] | None, rows: int) -> str:
    """What is wrong with the means over batches; empty if nothing is."""
    if (averages is None) != ("batches" not in meta):
        return "means over batches and their number do not go together"
    if averages is None:
        return ""
    shape = (len(FIELDS), rows + len(meta["tensors"]))
    if not _is_count(meta["batches"]) or averages.shape != shape or averages.dtype != np.float64:
        return "the means over batches are damaged"
    low, high, _, b, std = averages
    sound = np.isfinite(averages).all() and (low <= high).all() and (b >= 0).all() and (std >= 0).all()
    return "" if sound else "the means over batches are damaged"
