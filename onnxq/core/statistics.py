"""Calibration statistics of a model, in one file.

A ground type: made by ``observe``, read by ``decide`` and ``refine``, written and read by the command line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.core.batch_averages import FIELDS, BatchAverages, of_one_size
from onnxq.core.checks import check_type
from onnxq.core.files import replacing
from onnxq.core.npz import opened
from onnxq.core.statistics_checks import ROW, arrays_problem, averages_problem, channels_of, meta_problem
from onnxq.core.tensor_statistics import TensorStatistics
from onnxq.errors import OnnxqError

FORMAT = 2  # of the file; 1 did not say how the statistics were made
LONGEST_META = 2**28  # bytes
ARRAYS = ("minimum", "maximum", "sum", "sum_squares", "anchor", "histogram")  # fields with one row a channel
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Origin:
    """How statistics were made.

    Attributes:
        points: name of the quantization points that were observed; None where the file does not say.
        batch_size: images in the largest batch.
        preprocessing: of the images, as metadata of the model (``Preprocessing.to_metadata``); empty if not known.
    """

    points: str | None = None
    batch_size: int | None = None
    preprocessing: Mapping[str, str] = field(default_factory=dict, hash=False)

    def merge(self, other: Origin) -> Origin:
        """Of statistics of two shards of images; what one does not say, the other may.

        Raises:
            OnnxqError: they say different things.
        """
        for name in ("points", "preprocessing"):
            own, its = getattr(self, name), getattr(other, name)
            if own and its and own != its:
                raise OnnxqError(f"statistics of different {name} cannot be merged: {own} and {its}")
        sizes = [size for size in (self.batch_size, other.batch_size) if size is not None]
        return Origin(self.points or other.points, max(sizes, default=None), self.preprocessing or other.preprocessing)


@dataclass(frozen=True)
class Statistics:
    """Statistics of a model's tensors.

    Attributes:
        fingerprint: of the model that was observed (``onnxq.graph.model_files.fingerprint``).
        images: how many were seen.
        tensors: by name.
        moving: by name, the moving average over batches of a percentile of ``|x|``, float64 [C + 1]: of each channel,
            and of the whole tensor. Empty unless asked for. It depends on the order and the size of batches.
        moving_percentile: that percentile.
        origin: how they were made.
        averages: means over batches of extremes and moments, if they were asked for.
    """

    fingerprint: str
    images: int
    tensors: dict[str, TensorStatistics]
    moving: dict[str, FloatArray] = field(default_factory=dict)
    moving_percentile: float | None = None
    origin: Origin = Origin()
    averages: BatchAverages | None = None

    def check_belongs(self, fingerprint: str) -> None:
        """Compare with the fingerprint of a model.

        Raises:
            OnnxqError: they are of another one.
        """
        if self.fingerprint != fingerprint:
            raise OnnxqError(
                f"these statistics belong to another model ({self.fingerprint[:12]}, this one is {fingerprint[:12]}); "
                "run `onnxq calibrate` on this model"
            )

    def tensor(self, name: str) -> TensorStatistics:
        """The statistics of a tensor.

        Raises:
            OnnxqError: there are none.
        """
        if name not in self.tensors:
            raise OnnxqError(
                f"the statistics have no tensor {name}; run `onnxq calibrate` again, with the same `points`"
            )
        return self.tensors[name]

    def merge(self, other: Statistics) -> Statistics:
        """Statistics of two shards of the calibration images together.

        Histograms, counts and extremes are those of a single run; the sums differ from it by rounding (1e-9) only.
        Moving averages are weighted by the number of images.

        Raises:
            OnnxqError: they belong to different models, or were made in different ways.
            TypeError: it is something else.
        """
        check_type("other", other, Statistics)
        same_tensors = self.tensors.keys() == other.tensors.keys() and self.moving_percentile == other.moving_percentile
        same_tensors = same_tensors and (self.averages is None) == (other.averages is None)
        if self.fingerprint != other.fingerprint or not same_tensors:
            raise OnnxqError("these statistics belong to different models and cannot be merged")
        merged = {name: tensor.merge(other.tensors[name]) for name, tensor in self.tensors.items()}
        images = self.images + other.images
        pairs = {name: of_one_size(average, other.moving[name]) for name, average in self.moving.items()}
        moving = {name: (one * self.images + two * other.images) / images for name, (one, two) in pairs.items()}
        origin = self.origin.merge(other.origin)
        averages = self.averages.merge(other.averages) if self.averages and other.averages else None
        return Statistics(self.fingerprint, images, merged, moving, self.moving_percentile, origin, averages)

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
            "moving_percentile": self.moving_percentile,
            "origin": {**asdict(self.origin), "preprocessing": dict(self.origin.preprocessing)},
            "tensors": [
                {"name": name, "channels": len(tensor.minimum), "count": tensor.count}
                for name, tensor in self.tensors.items()
            ],
        }
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(tensor, name) for tensor in tensors]) for name in ARRAYS
        }
        if self.moving:
            arrays["moving"] = np.concatenate([self.moving[name] for name in self.tensors])
        if self.averages is not None:
            meta["batches"] = self.averages.batches
            arrays["averages"] = np.concatenate([self.averages.rows[name] for name in self.tensors], axis=1)
        arrays["meta"] = np.array(json.dumps(meta))
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @staticmethod
    def load(path: str | Path) -> Statistics:
        """Read a file that ``save`` wrote.

        Raises:
            OnnxqError: it is missing, truncated, or something else.
        """
        with opened(path, "a statistics file of `onnxq calibrate`") as file:
            meta = json.loads(str(file.read("meta", LONGEST_META)[()]))
            if isinstance(meta, dict) and meta.get("format") not in (1, FORMAT):
                raise OnnxqError(f"{path}: statistics of another version of onnxq; run `onnxq calibrate` again")
            problem = meta_problem(meta)
            if not problem:
                rows = channels_of(meta)
                arrays = {name: file.read(name, rows * ROW[name]) for name in ARRAYS}
                moving = file.read("moving", (rows + len(meta["tensors"])) * 8) if "moving" in file else None
                size = (rows + len(meta["tensors"])) * 8 * len(FIELDS)
                averages = file.read("averages", size) if "averages" in file else None
                problem = arrays_problem(meta, arrays, moving) or averages_problem(meta, averages, rows)
            if problem:
                raise OnnxqError(f"{path}: damaged statistics, {problem}; run `onnxq calibrate` again")
        tensors, moving_of, averages_of = {}, {}, {}
        start = 0
        for position, entry in enumerate(meta["tensors"]):
            part = slice(start, start + entry["channels"])
            start = part.stop
            tensors[entry["name"]] = TensorStatistics(
                count=entry["count"], **{name: array[part] for name, array in arrays.items()}
            )
            if moving is not None:
                moving_of[entry["name"]] = moving[part.start + position : part.stop + position + 1]
            if averages is not None:
                averages_of[entry["name"]] = averages[:, part.start + position : part.stop + position + 1]
        origin = Origin(**meta.get("origin", {}))
        percentile = meta.get("moving_percentile")
        over_batches = BatchAverages(meta["batches"], averages_of) if averages is not None else None
        return Statistics(meta["fingerprint"], meta["images"], tensors, moving_of, percentile, origin, over_batches)
