"""Running batches through a session, and errors in plain words. A part of ``runtime``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from onnxq.core.feeds import Batch, Batches, Feed, as_batch
from onnxq.errors import OnnxqError, first_line
from onnxq.runtime.providers import device_of

There = Mapping[str, ort.OrtValue]  # the inputs of a session, by name, on its device
Declared = Mapping[str, Sequence[object]]  # shapes of inputs, by name; names and negative numbers are any size


def arrays_of(batch: Batch, names: Sequence[str], model: str = "the model") -> dict[str, NDArray[Any]]:
    """The inputs of a network by name.

    Args:
        names: of its inputs. model: what the message calls it.

    Raises:
        OnnxqError: the batch has others.
    """
    if not isinstance(batch, Feed):
        if len(names) != 1:
            raise OnnxqError(
                f"{model} has {len(names)} inputs, {', '.join(names)}: give batches that are arrays by name "
                "(`data` of .npz files, or module.py:function), or make the others constant (which "
                "metrics of boxes, masks and texts want)"
            )
        return {names[0]: batch}
    if set(batch.arrays) != set(names):
        hint = "; an .npz of images and labels holds both, `images` and `labels`" if "images" in batch.arrays else ""
        raise OnnxqError(f"{model} has the inputs {', '.join(names)}, the batch has {', '.join(batch.arrays)}{hint}")
    return {name: batch.arrays[name] for name in names}


def on_device(batch: Batch, session: ort.InferenceSession) -> There:
    """A batch where a session wants it; on a GPU one copy serves all sessions that run there."""
    arrays = arrays_of(batch, [entry.name for entry in session.get_inputs()])
    return {
        name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), *device_of(session))
        for name, array in arrays.items()
    }


def run(session: ort.InferenceSession, names: Sequence[str], there: There) -> list[NDArray[Any]]:
    """The named outputs of a model for a batch that is on its device.

    Raises:
        OnnxqError: it cannot run on it.
    """
    binding = session.io_binding()
    inputs = [entry.name for entry in session.get_inputs()]
    for name, value in zip(inputs, there.values(), strict=True):  # another file can call its one input otherwise
        binding.bind_ortvalue_input(name if len(inputs) == 1 else _same(name, there), there.get(name, value))
    for name in names:
        binding.bind_output(name, "cpu")
    try:
        session.run_with_iobinding(binding)
    except Exception as error:  # onnxruntime raises its own family, without a common public base
        shapes = ", ".join(str(value.shape()) for value in there.values())
        raise OnnxqError(f"the model cannot run on images of shape {shapes}: {first_line(error)}") from error
    outputs: list[NDArray[Any]] = binding.copy_outputs_to_cpu()
    return outputs


def _same(name: str, there: There) -> str:
    if name not in there:
        raise OnnxqError(f"the model has an input {name}, the batch has {', '.join(there)}")
    return name


def outputs_of(
    session: ort.InferenceSession,
    names: Sequence[str],
    batches: Batches,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[range, list[NDArray[Any]]]]:
    """Run batches, empty ones left out: which images of all, and the named outputs of each batch.

    Raises:
        OnnxqError: the images do not fit the model.
    """
    images = 0
    for given in batches:
        batch = as_batch(given)
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
    batches: Batches,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[range, list[NDArray[Any]]]]:
    """As ``outputs_of``.

    Raises:
        OnnxqError: the images do not fit the model, or an output is NaN or infinite.
    """
    for images, values in outputs_of(session, names, batches, progress):
        if not all(np.isfinite(value).all() for value in values if value.dtype.kind == "f"):
            raise OnnxqError(f"NaN or infinite activations on images {images[0]} to {images[-1]}")
        yield images, values


def check_batch(session: ort.InferenceSession, batch: Batch, name: str) -> None:
    """Compare a batch with what a model declares.

    Raises:
        OnnxqError: they do not fit; ``name`` is what the message calls the model.
    """
    inputs = session.get_inputs()
    check_shapes({entry.name: entry.shape for entry in inputs}, batch, name)
    for entry, array in zip(inputs, arrays_of(batch, [each.name for each in inputs], name).values(), strict=True):
        wanted = TYPES.get(entry.type)
        if wanted is not None and array.dtype != wanted:
            raise OnnxqError(f"{name}: input {entry.name} takes {np.dtype(wanted)}, the batch has {array.dtype}")


TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}


def check_shapes(declared: Declared, batch: Batch, name: str) -> None:
    """Compare a batch with shapes.

    Raises:
        OnnxqError: they do not fit; ``name`` is what the message calls the model.
    """
    for (own, shape), array in zip(declared.items(), arrays_of(batch, list(declared), name).values(), strict=True):
        _check_shape(shape, array, name, own if len(declared) > 1 else None)


def _check_shape(declared: Sequence[object], array: NDArray[Any], name: str, of: str | None) -> None:
    wanted = [size if isinstance(size, int) and size >= 0 else None for size in declared]
    fits = [want is None or want == got for want, got in zip(wanted, array.shape, strict=False)]
    if len(wanted) == array.ndim and all(fits):
        return
    given, what = list(array.shape), f" for input {of}" if of is not None else ""
    if len(wanted) != array.ndim:
        raise OnnxqError(
            f"{name} takes images of shape {_text(declared)}{what}, {len(wanted)} axes; the data has {array.ndim}, "
            f"{given}: is it the data of this model?"
        )
    if all(fits[1:]):
        raise OnnxqError(
            f"{name} takes exactly {declared[0]} images at once{what}, a batch has {len(array)}: give a `batch_size` "
            f"of {declared[0]} and a multiple of it with `images`, or export it with a dynamic batch"
        )
    if array.ndim == 4 and not fits[1] and array.shape[3] == wanted[1]:
        cause = "the data has its channels last, the model first"
    elif array.ndim == 4 and not fits[1] and array.shape[1] == wanted[3]:
        cause = "the model takes channels last, the data has them first"
    elif not fits[1]:
        cause = f"it has {array.shape[1]} channels instead of {wanted[1]}"
    else:
        cause = "height and width differ"
    raise OnnxqError(
        f"{name} cannot run on images of shape {given[1:]}{what}, it wants {_text(declared[1:])} ({cause}); is the "
        "preprocessing right (`preset`)?"
    )


def _text(shape: Sequence[object]) -> str:
    return "[" + ", ".join(str(size) for size in shape) + "]"
