"""Reading and writing model files: plain errors, nothing half-written, fingerprints. Used by every stage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from onnxq.core.checks import check_type
from onnxq.core.files import replacing
from onnxq.errors import OnnxqError, first_line

MAX_PROTOBUF = 2**31 - 1  # bytes; a larger model needs external data


def load_model(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        OnnxqError: it is missing, unreadable, truncated or not an ONNX model.
    """
    try:
        model = onnx.load(str(path), format="protobuf")
    except FileNotFoundError as error:
        missing = getattr(error, "filename", None) or path
        raise OnnxqError(f"{path}: no such file" if str(missing) == str(path) else f"{path}: {error}") from error
    except OSError as error:
        raise OnnxqError(f"{path}: cannot be read: {error.strerror or error}") from error
    except DecodeError as error:
        raise OnnxqError(f"{path}: not an ONNX model, or a truncated one; export or copy it again") from error
    except MemoryError as error:
        raise OnnxqError(f"{path}: too large for this machine's memory") from error
    except Exception as error:  # external data: missing, shorter than it says, or elsewhere
        raise OnnxqError(f"{path}: cannot be loaded: {first_line(error)}") from error
    if not model.graph.node:
        raise OnnxqError(f"{path}: not an ONNX model, or an empty one")
    try:
        onnx.checker.check_model(without_weights(model))
        for tensor in model.graph.initializer:
            onnx.checker.check_tensor(tensor)
        _check_text(without_weights(model))
        _check_text(onnx.ModelProto(metadata_props=model.metadata_props, producer_name=model.producer_name))
    except Exception as error:  # also of names that are no text
        raise OnnxqError(f"{path}: not a valid ONNX model: {first_line(error)}") from error
    return model


def _check_text(message: Message) -> None:
    """Whether all text in it is UTF-8; protobuf finds out when it is read, or returns bytes.

    Raises:
        ValueError: it is not.
    """
    for field, value in message.ListFields():
        values = [value] if isinstance(value, (str, bytes, Message)) or not isinstance(value, Sequence) else value
        if field.type == FieldDescriptor.TYPE_STRING and any(isinstance(each, bytes) for each in values):
            raise ValueError(f"a {field.name} is no text")
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for each in values:
                _check_text(each)


def as_model(model: onnx.ModelProto | str | Path) -> onnx.ModelProto:
    """A model, read where it is a path.

    Raises:
        OnnxqError: it cannot be read, or is empty.
        TypeError: it is neither.
    """
    check_type("model", model, (onnx.ModelProto, str, Path))
    if not isinstance(model, onnx.ModelProto):
        return load_model(model)
    if not model.graph.node:
        raise OnnxqError("the model is empty")
    return model


def files_beside(path: str | Path) -> list[Path]:
    """Where a model file says that its weights lie; empty where it cannot be read."""
    try:
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
        tensors = list(_tensors(model))
    except Exception:  # who loads it says what is wrong
        return []
    names = [entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"]
    return [Path(path).parent / name for name in dict.fromkeys(names)]


def bytes_of(path: str | Path) -> int:
    """Size of a model file, with those beside it that hold its weights."""
    return sum(each.stat().st_size for each in (Path(path), *files_beside(path)))


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """All tensors of a model: initializers, constants of nodes, those of subgraphs and functions."""
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        for each in [value] if isinstance(value, Message) else value:
            if isinstance(each, onnx.TensorProto):
                yield each
            else:
                yield from _tensors(each)


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with its initializers as inputs: to check or serialize it without copying the weights."""
    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    light.graph.value_info.extend(model.graph.value_info)
    inputs = {entry.name for entry in model.graph.input}  # up to IR 3, initializers are inputs too
    light.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
        if tensor.name not in inputs
    )
    return light


def size_of(model: onnx.ModelProto) -> int:
    """About the bytes of a model with its weights: its own method would copy them all."""
    return without_weights(model).ByteSize() + sum(tensor.ByteSize() for tensor in model.graph.initializer)


def save_model(model: onnx.ModelProto, path: str | Path) -> None:
    """Write an ONNX file whole or not at all.

    Raises:
        OnnxqError: the target cannot be written, or the model is over 2 GB.
        TypeError: an argument is of another type.
    """
    check_type("model", model, onnx.ModelProto)
    check_type("path", path, (str, Path))
    if size_of(model) > MAX_PROTOBUF:
        raise OnnxqError(f"cannot write {path}: the model is over 2 GB")
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def fingerprint(model: onnx.ModelProto) -> str:
    """SHA-256 of the graph and its weights: 64 hexadecimal digits. Metadata and names of the model do not count."""
    digest = hashlib.sha256()
    for group in (model.graph.input, model.graph.output, model.graph.node, model.functions, model.opset_import):
        for item in group:
            digest.update(item.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        digest.update(f"{tensor.name} {tensor.data_type} {list(tensor.dims)}".encode())
        # raw_data is hashed where it lies: serializing would copy every weight
        digest.update(tensor.raw_data or tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()


def free_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no weights; up to IR 3, initializers are inputs too."""
    weights = {tensor.name for tensor in graph.initializer}
    return [entry for entry in graph.input if entry.name not in weights]


def fixed_batch_size(model: onnx.ModelProto) -> int | None:
    """How many images the model takes at once; None where that is free."""
    for entry in free_inputs(model.graph):
        if entry.type.tensor_type.shape.dim:
            size = entry.type.tensor_type.shape.dim[0].dim_value
            return size if size > 0 else None  # some exporters write -1
    return None


def input_shape(model: onnx.ModelProto) -> list[int | None]:
    """Of the first input that is no weight; None for what is free."""
    for entry in free_inputs(model.graph):
        return [size.dim_value if size.dim_value > 0 else None for size in entry.type.tensor_type.shape.dim]
    return []


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The model's metadata_props."""
    return {entry.key: entry.value for entry in model.metadata_props}


def set_metadata(model: onnx.ModelProto, values: dict[str, str], *, instead_of: Iterable[str] = ()) -> None:
    """Add or replace entries of metadata_props; entries of these other names go."""
    gone = set(instead_of)
    merged = {**{name: value for name, value in metadata(model).items() if name not in gone}, **values}
    onnx.helper.set_model_props(model, merged)
