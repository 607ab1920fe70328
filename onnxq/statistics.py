"""Calibration statistics: what every clipping method needs to know of a tensor, mergeable and in one file."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.files import replacing
from onnxq.histogram import BINS, HALF, anchor_of, bin_edges, mean_absolute_deviation, rescale
from onnxq.operators.observe import Observation

FORMAT = 1  # of the file
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TensorStatistics:
    """Statistics of each channel of one tensor; ``whole()`` gives those of the tensor as one channel.

    Attributes:
        count: values a channel.
        minimum, maximum: float32 [C].
        sum, sum_squares: float64 [C].
        histogram: int64 [C, 256], the bins of ``onnxq.histogram``.
    """

    count: int
    minimum: NDArray[np.float32]
    maximum: NDArray[np.float32]
    sum: FloatArray
    sum_squares: FloatArray
    histogram: NDArray[np.int64]

    @staticmethod
    def of(observation: Observation) -> TensorStatistics:
        """Statistics of one observed batch."""
        histogram = observation.histogram.astype(np.int64)
        count = int(histogram[0].sum()) if len(histogram) else 0
        return TensorStatistics(
            count, observation.minimum, observation.maximum, observation.sum, observation.sum_squares, histogram
        )

    @property
    def anchor(self) -> NDArray[np.float32]:
        """The unit of the histogram, float32 [C]."""
        return anchor_of(self.minimum, self.maximum)

    @property
    def mean(self) -> FloatArray:
        """Float64 [C]."""
        return self.sum / max(self.count, 1)

    @property
    def std(self) -> FloatArray:
        """Standard deviation with n - 1 in the denominator, float64 [C]."""
        centred = self.sum_squares - self.sum * self.sum / max(self.count, 1)
        deviation: FloatArray = np.sqrt(np.maximum(centred, 0) / max(self.count - 1, 1))
        return deviation

    @property
    def b(self) -> FloatArray:
        """E|x - mean|, from the histogram; float64 [C]."""
        return mean_absolute_deviation(self.histogram, self.anchor.astype(np.float64), self.mean)

    @property
    def mean_of_positive(self) -> FloatArray:
        """E[x | x > 0], from the histogram; float64 [C]; 0 where there is none. The bin at zero does not count."""
        edges = bin_edges()[HALF + 1 :]
        counts = self.histogram[:, HALF + 1 :]
        total = counts @ ((edges[:-1] + edges[1:]) / 2) * self.anchor
        mean: FloatArray = total / np.maximum(counts.sum(axis=1), 1)
        return mean

    def whole(self) -> TensorStatistics:
        """All channels taken together, as statistics of one channel."""
        anchor = np.full_like(self.anchor, self.anchor.max(initial=0))
        return TensorStatistics(
            count=self.count * len(self.minimum),
            minimum=self.minimum.min(keepdims=True),
            maximum=self.maximum.max(keepdims=True),
            sum=self.sum.sum(keepdims=True),
            sum_squares=self.sum_squares.sum(keepdims=True),
            histogram=rescale(self.histogram, self.anchor, anchor).sum(axis=0, keepdims=True),
        )

    def merge(self, other: TensorStatistics) -> TensorStatistics:
        """Statistics of both sets of values together."""
        minimum, maximum = np.minimum(self.minimum, other.minimum), np.maximum(self.maximum, other.maximum)
        anchor = anchor_of(minimum, maximum)
        return TensorStatistics(
            count=self.count + other.count,
            minimum=minimum,
            maximum=maximum,
            sum=self.sum + other.sum,
            sum_squares=self.sum_squares + other.sum_squares,
            histogram=rescale(self.histogram, self.anchor, anchor) + rescale(other.histogram, other.anchor, anchor),
        )


@dataclass(frozen=True)
class Statistics:
    """Statistics of a model's tensors.

    Attributes:
        fingerprint: of the model that was observed (``onnxq.files.fingerprint``).
        images: how many were seen.
        tensors: by name.
    """

    fingerprint: str
    images: int
    tensors: dict[str, TensorStatistics]

    def merge(self, other: Statistics) -> Statistics:
        """Statistics of two shards of the calibration images together.

        Histograms, counts and extremes are those of a single run; the sums differ from it by rounding (1e-9) only.

        Raises:
            OnnxqError: they belong to different models.
        """
        if self.fingerprint != other.fingerprint or self.tensors.keys() != other.tensors.keys():
            raise OnnxqError("these statistics belong to different models and cannot be merged")
        merged = {name: tensor.merge(other.tensors[name]) for name, tensor in self.tensors.items()}
        return Statistics(self.fingerprint, self.images + other.images, merged)

    def save(self, path: str | Path) -> None:
        """Write a .npz file: JSON in ``meta``, and every field of all tensors as one array along the channels.

        Raises:
            OnnxqError: the target cannot be written.
        """
        tensors = list(self.tensors.values())
        meta = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "images": self.images,
            "tensors": [
                {"name": name, "channels": len(tensor.minimum), "count": tensor.count}
                for name, tensor in self.tensors.items()
            ],
        }
        arrays = {
            "minimum": np.concatenate([tensor.minimum for tensor in tensors]),
            "maximum": np.concatenate([tensor.maximum for tensor in tensors]),
            "sum": np.concatenate([tensor.sum for tensor in tensors]),
            "sum_squares": np.concatenate([tensor.sum_squares for tensor in tensors]),
            "histogram": np.concatenate([tensor.histogram for tensor in tensors]),
        }
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, meta=np.array(json.dumps(meta)), **arrays)

    @staticmethod
    def load(path: str | Path) -> Statistics:
        """Read a file that ``save`` wrote.

        Raises:
            OnnxqError: it is missing, truncated, or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                meta = json.loads(str(file["meta"]))
                arrays = [file[field] for field in ("minimum", "maximum", "sum", "sum_squares", "histogram")]
        except FileNotFoundError as error:
            raise OnnxqError(f"{path}: no such file; make it with `onnxq calibrate`") from error
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise OnnxqError(
                f"{path}: not a statistics file, or a truncated one; run `onnxq calibrate` again"
            ) from error
        if meta.get("format") != FORMAT or arrays[4].shape[1:] != (BINS,):
            raise OnnxqError(f"{path}: statistics of another version of onnxq; run `onnxq calibrate` again")
        tensors = {}
        start = 0
        for entry in meta["tensors"]:
            part = slice(start, start + entry["channels"])
            start = part.stop
            tensors[entry["name"]] = TensorStatistics(entry["count"], *(array[part] for array in arrays))
        return Statistics(meta["fingerprint"], meta["images"], tensors)
