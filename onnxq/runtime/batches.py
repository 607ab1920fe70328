"""Running batches of images through a session, and errors in plain words. A part of ``runtime``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from onnxq.errors import OnnxqError, first_line
from onnxq.runtime.providers import device_of


def image_input(session: ort.InferenceSession) -> ort.NodeArg:
    """The one input of a model.

    Raises:
        OnnxqError: it has several.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(entry.name for entry in inputs)
        raise OnnxqError(f"the model must have one input, the images; this one has {len(inputs)}: {names}")
    return inputs[0]


def on_device(images: NDArray[np.float32], session: ort.InferenceSession) -> ort.OrtValue:
    """Images where a session wants them; on a GPU one copy serves all sessions that run there."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(images), *device_of(session))


def run(session: ort.InferenceSession, names: Sequence[str], images: ort.OrtValue) -> list[NDArray[Any]]:
    """The named outputs of a model for images that are on its device.

    Raises:
        OnnxqError: it cannot run on them.
    """
    binding = session.io_binding()
    binding.bind_ortvalue_input(image_input(session).name, images)
    for name in names:
        binding.bind_output(name, "cpu")
    try:
        session.run_with_iobinding(binding)
    except Exception as error:  # onnxruntime raises its own family, without a common public base
        raise OnnxqError(f"the model cannot run on images of shape {images.shape()}: {first_line(error)}") from error
    outputs: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
    return outputs


def outputs_of(
    session: ort.InferenceSession,
    names: Sequence[str],
    batches: Iterable[NDArray[np.float32]],
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[range, list[NDArray[Any]]]]:
    """Run batches of images, empty ones left out: which images of all, and the named outputs of each batch.

    Raises:
        OnnxqError: the images do not fit the model.
    """
    images = 0
    for batch in batches:
        check_images(batch)
        if not len(batch):
            continue
        check_batch(session, batch, "the model")
        yield range(images, images + len(batch)), run(session, names, on_device(batch, session))
        images += len(batch)
        if progress:
            progress(len(batch))


def finite_outputs(
    session: ort.InferenceSession,
    names: Sequence[str],
    batches: Iterable[NDArray[np.float32]],
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[range, list[NDArray[Any]]]]:
    """As ``outputs_of``.

    Raises:
        OnnxqError: the images do not fit the model, or an output is NaN or infinite.
    """
    for images, values in outputs_of(session, names, batches, progress):
        if not all(np.isfinite(value).all() for value in values):
            raise OnnxqError(f"NaN or infinite activations on images {images[0]} to {images[-1]}")
        yield images, values


def check_batch(session: ort.InferenceSession, batch: NDArray[np.float32], name: str) -> None:
    """Compare images with the shape that a model declares.

    Raises:
        OnnxqError: they do not fit; ``name`` is what the message calls the model.
    """
    check_images(batch)
    check_shape(image_input(session).shape, batch, name)


def check_images(batch: object) -> None:
    """Whether a batch is one.

    Raises:
        OnnxqError: it is something else than an array of float32 in this machine's byte order.
    """
    if not isinstance(batch, np.ndarray) or batch.dtype != np.dtype(np.float32) or not batch.ndim:
        kind = getattr(batch, "dtype", type(batch).__name__)
        raise OnnxqError(f"images must be arrays of float32 [N, C, H, W] in this machine's byte order, not {kind}")


def check_shape(declared: Sequence[object], batch: NDArray[np.float32], name: str) -> None:
    """Compare images with a shape, in which names and negative numbers stand for any size.

    Raises:
        OnnxqError: they do not fit; ``name`` is what the message calls the model.
    """
    fits = len(declared) == batch.ndim and all(
        not isinstance(want, int) or want < 0 or want == got for want, got in zip(declared, batch.shape, strict=True)
    )
    if fits:
        return
    if list(declared[1:]) == list(batch.shape[1:]):
        raise OnnxqError(
            f"{name} takes exactly {declared[0]} images at once, a batch has {len(batch)}: give a `batch_size` of "
            f"{declared[0]} and a multiple of it with `images`, or export it with a dynamic batch"
        )
    raise OnnxqError(
        f"{name} cannot run on images of shape {list(batch.shape[1:])}, it wants {declared[1:]}; "
        "is the preprocessing right (`preset`)?"
    )
