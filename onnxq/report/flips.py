"""Images of which a quantized file says another class than the float one. A part of ``report``."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnxq.core.feeds import as_batch
from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader
from onnxq.evaluation.metrics.base import class_scores
from onnxq.report.facts import Flip, Guess
from onnxq.runtime.batches import check_batch, on_device, run
from onnxq.runtime.sessions import make_session

MOST = 24
PIXELS = 112  # of the longer side of a picture


def flips(
    reference: Path,
    quantized: Path,
    loader: Loader | FeedLoader,
    provider: str,
    progress: Callable[[int], None] | None = None,
) -> tuple[tuple[Flip, ...], int]:
    """Those of which the float network is surest, and how many there are.

    Raises:
        OnnxqError: a file cannot be run, or its first output is no class scores.
    """
    sessions = [make_session(path, provider) for path in (reference, quantized)]
    names = [session.get_outputs()[0].name for session in sessions]
    found: list[tuple[int, int, NDArray[np.float64], NDArray[np.float64]]] = []  # place, label, scores of both
    seen = 0
    for batch in loader:
        images = as_batch(batch.images)
        for session, path in zip(sessions, (reference, quantized), strict=True):
            check_batch(session, images, str(path))
        there = on_device(images, sessions[0])
        made = [run(session, [name], there) for session, name in zip(sessions, names, strict=True)]
        exact, own = (_certainty(class_scores(outputs, len(images))) for outputs in made)
        for row in np.flatnonzero(exact.argmax(axis=1) != own.argmax(axis=1)):
            label = int(batch.labels[row]) if isinstance(batch.labels, np.ndarray) else -1
            found.append((seen + int(row), label, exact[row], own[row]))
        seen += len(images)
        if progress:
            progress(len(images))
    found.sort(key=lambda each: -float(each[2].max()))
    classes = getattr(loader.dataset, "classes", ())
    if found and len(classes) != len(found[0][2]):  # of another number, as with one for the background
        classes = ()
    told = []
    for place, label, one, other in found[:MOST]:
        guesses = [Guess(_class_name(classes, int(each.argmax())), float(each.max())) for each in (one, other)]
        name = _class_name(classes, label) if label >= 0 else ""
        told.append(Flip(_image_name(loader, place), name, guesses[0], guesses[1], _picture(loader, place)))
    return tuple(told), len(found)


def _image_name(loader: Loader | FeedLoader, place: int) -> str:
    """Its file in its folder, where it has one."""
    if isinstance(loader, FeedLoader) or loader.skipped:
        return f"image {place} of those that were read"
    file = getattr(loader.dataset, "file", None)
    return "/".join(file(loader.indices[place]).parts[-2:]) if file is not None else f"image {loader.indices[place]}"


def _class_name(classes: tuple[str, ...], number: int) -> str:
    return classes[number] if number < len(classes) else f"class {number}"


def _certainty(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax, unless they are shares already."""
    values = np.nan_to_num(scores.astype(np.float64))
    if (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        return values
    grown = np.exp(values - values.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = grown / grown.sum(axis=1, keepdims=True)
    return shares


def _picture(loader: Loader | FeedLoader, place: int) -> bytes:
    """Nothing of what was no image; where images were left out, places are not theirs."""
    if isinstance(loader, FeedLoader) or loader.skipped:
        return b""
    image = loader.dataset.image(loader.indices[place])
    if not isinstance(image, Image.Image):
        return b""
    small = image.convert("RGB")
    small.thumbnail((PIXELS, PIXELS))
    content = io.BytesIO()
    small.save(content, "JPEG", quality=80)
    return content.getvalue()
