"""Digests of quantized files: what a change of structure must leave as it is.

    python tests/golden/digests.py      # writes digests.json anew, after a change on purpose

A digest does not depend on the names and the order of nodes and inner tensors: an output is hashed with the node that
makes it and the digests of what that reads. ``structure`` leaves the values of float constants out, and those of
integer biases, which are made of them; ``values`` has them, and depends in its last bits on the processor and on the
versions of numpy and ONNX Runtime.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).parents[1]))

FILE = Path(__file__).with_name("digests.json")
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)


def processor() -> str:
    """Which vector units there are: sums of float32 differ between them."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
    return " ".join([platform.machine(), *(flag for flag in wanted if f" {flag}" in text)])


def environment() -> dict[str, str]:
    """What values may depend on."""
    return {"processor": processor(), "numpy": np.__version__, "onnxruntime": onnxruntime.__version__}


def digest_of(model: onnx.ModelProto, *, values: bool) -> str:
    """Sixteen hexadecimal digits for a model without its metadata."""
    known: dict[str, str] = {"": ""}

    def hashed(*parts: object) -> str:
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    biases = {node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    for tensor in model.graph.initializer:
        content = b""
        is_bias = tensor.data_type == onnx.TensorProto.INT32 and tensor.name in biases
        if values or not (tensor.data_type in FLOATS or is_bias):
            array = numpy_helper.to_array(tensor)
            content = (array + np.float32(0) if array.dtype == np.float32 else array).tobytes()  # one zero
        known[tensor.name] = hashed(tensor.data_type, list(tensor.dims), hashlib.sha256(content).hexdigest())
    for entry in model.graph.input:
        known.setdefault(entry.name, hashed("input", entry.name, entry.type.SerializeToString(deterministic=True)))
    for node in model.graph.node:
        attributes = sorted(entry.SerializeToString(deterministic=True) for entry in node.attribute)
        made = hashed(node.domain, node.op_type, attributes, [known[name] for name in node.input])
        for position, name in enumerate(node.output):
            known[name] = hashed(made, position)
    outputs = [(entry.name, known[entry.name]) for entry in model.graph.output]
    functions = sorted(function.SerializeToString(deterministic=True) for function in model.functions)
    opsets = sorted((entry.domain, entry.version) for entry in model.opset_import)
    return hashed(outputs, functions, opsets, model.ir_version)


def quantized_files() -> Iterator[tuple[str, onnx.ModelProto]]:
    """A name for each file, and the file."""
    from golden.cases import files

    return files()


@contextmanager
def one_processor() -> Iterator[None]:
    """Sums of what is measured on images depend on the number of threads: let there be one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def both_digests() -> dict[str, list[str]]:
    """name -> [structure, values]."""
    with one_processor():
        files = quantized_files()
        return {name: [digest_of(model, values=False), digest_of(model, values=True)] for name, model in files}


def main() -> None:
    content: dict[str, Any] = {"environment": environment(), "digests": both_digests()}
    FILE.write_text(json.dumps(content, indent=1) + "\n")
    print(f"{FILE}: {len(content['digests'])} files")


if __name__ == "__main__":
    main()
