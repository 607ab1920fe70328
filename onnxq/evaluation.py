"""Accuracy of model files, side by side over one pass of the data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from onnxq.errors import OnnxqError
from onnxq.loader import Batch
from onnxq.runtime import check_batch, make_session, on_device, provider_of, run


@dataclass
class _Tally:
    """Running counts of one file."""

    path: Path
    session: ort.InferenceSession
    correct: int = 0
    correct5: int = 0
    disagreements: int = 0
    seconds: float = 0.0
    classes: int = 0


@dataclass(frozen=True)
class Evaluation:
    """What one file scored.

    Attributes:
        images: seen. correct, correct5: of these, how many had their class first, or among the first five.
        disagreements: images whose first class differs from the first file's.
        seconds: inside ONNX Runtime, without loading of images.
        size: of the file, in bytes.
        classes: that the model tells apart.
    """

    path: Path
    images: int
    correct: int
    correct5: int
    disagreements: int
    seconds: float
    provider: str
    size: int
    classes: int

    @property
    def top1(self) -> float:
        """Percent."""
        return 100 * self.correct / self.images

    @property
    def top5(self) -> float:
        """Percent."""
        return 100 * self.correct5 / self.images

    @property
    def images_per_second(self) -> float:
        """Throughput of inference alone."""
        return self.images / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, object]:
        """The entry of this file in the command's ``--json`` output; top1 and top5 in percent."""
        return {
            "path": str(self.path),
            "top1": self.top1,
            "top5": self.top5,
            "images": self.images,
            "correct": self.correct,
            "correct5": self.correct5,
            "disagreements": self.disagreements,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "provider": self.provider,
            "bytes": self.size,
        }


def rank_of_label(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes score above the true one, or as high with a smaller index: 0 is a top-1 hit.

    Args:
        logits: float [N, classes]. labels: int64 [N].
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(logits.shape[1])[None, :] < labels[:, None]
    # A NaN score is never a hit: it counts as below everything.
    above = (logits > own) | ((logits == own) & earlier) | np.isnan(own)
    return above.sum(axis=1)


def evaluate(
    paths: Sequence[str | Path],
    batches: Iterable[Batch],
    *,
    provider: str = "auto",
    native: bool | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Evaluation]:
    """Run files over the same images.

    Args:
        paths: ONNX files with one image input and logits as their first output; the first is the reference for
            disagreements.
        batches: for example an ``onnxq.loader.Loader``.
        progress: called after each batch with the number of its images.

    Raises:
        OnnxqError: a file cannot be run, an image cannot be read, or labels and classes do not fit together.
    """
    tallies = []
    for path in map(Path, paths):
        if not path.is_file():
            raise OnnxqError(f"{path}: no such file")
        tallies.append(_Tally(path, make_session(path, provider, native=native)))
    images = 0
    for batch in batches:
        reference = None
        for tally in tallies:  # all files are on the same provider
            check_batch(tally.session, batch.images, str(tally.path))
        images_there = on_device(batch.images, tallies[0].session)
        for tally in tallies:
            logits = _run(tally, images_there)
            if batch.labels.max(initial=0) >= logits.shape[1]:
                raise OnnxqError(
                    f"{tally.path} knows {logits.shape[1]} classes, an image has class {batch.labels.max()}; "
                    "is it the right data set, and does it need --classes?"
                )
            tally.classes = logits.shape[1]
            rank = rank_of_label(logits, batch.labels)
            tally.correct += int((rank == 0).sum())
            tally.correct5 += int((rank < 5).sum())
            answers = logits.argmax(axis=1)
            reference = answers if reference is None else reference
            tally.disagreements += int((answers != reference).sum())
        images += len(batch.labels)
        if progress:
            progress(len(batch.labels))
    if images == 0:
        raise OnnxqError("no images to evaluate on")
    return [
        Evaluation(
            path=tally.path,
            images=images,
            correct=tally.correct,
            correct5=tally.correct5,
            disagreements=tally.disagreements,
            seconds=tally.seconds,
            provider=provider_of(tally.session),
            size=tally.path.stat().st_size,
            classes=tally.classes,
        )
        for tally in tallies
    ]


def _run(tally: _Tally, images: ort.OrtValue) -> NDArray[np.float32]:
    """Logits [N, classes] of a batch, timed."""
    shape = images.shape()
    started = time.perf_counter()
    try:
        logits: NDArray[np.float32] = run(tally.session, [tally.session.get_outputs()[0].name], images)[0]
    except OnnxqError as error:
        raise OnnxqError(f"{tally.path}: {error}") from error
    tally.seconds += time.perf_counter() - started
    if logits.ndim == 4 and logits.shape[2:] == (1, 1):
        logits = logits[:, :, 0, 0]
    if logits.ndim != 2 or len(logits) != shape[0]:
        raise OnnxqError(f"{tally.path}: the first output has shape {list(logits.shape)}; expected [images, classes]")
    return logits
