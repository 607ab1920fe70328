"""The native library as ONNX Runtime sees it: errors, shapes, memory; and where its headers come from."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import tarfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from helpers import FLOAT, FLOAT16, INT32, operator_model
from onnx import helper

from onnxq.core.operator_call import DOMAIN
from onnxq.operators import fake_quantize, observe
from onnxq.runtime.library import find_library
from onnxq.runtime.sessions import make_session, session_options

needs_library = pytest.mark.skipif(find_library() is None, reason="the native library was not built")
INPUTS = {"x": (FLOAT, 3), "scale": (FLOAT, 0), "zero_point": (FLOAT, 0), "bits": (INT32, 0)}
GRID = {"scale": np.array(0.5, np.float32), "zero_point": np.array(2, np.float32), "bits": np.array(3, np.int32)}


def find_headers():
    path = Path(__file__).parents[2] / "custom_ops" / "find_headers.py"
    spec = importlib.util.spec_from_file_location("find_headers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_body(model):
    """So that only a kernel can run it."""
    del model.functions[:]
    return model


@needs_library
@pytest.mark.parametrize("kind", [FLOAT, FLOAT16])
def test_a_chain_runs_in_place(kind):
    """ONNX Runtime gives an operator the memory of its input where nobody else reads it: results are the same."""
    inputs = {**INPUTS, "x": (kind, 3)}
    model = without_body(operator_model(fake_quantize.function(21), inputs, {"y": (kind, 3)}))
    node = model.graph.node[0]
    for number in range(3):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[0], copy.output[0] = model.graph.node[-1].output[0], f"y{number}"
        model.graph.node.append(copy)
    model.graph.output[0].name = "y2"
    x = np.random.default_rng(0).standard_normal((2, 5, 1001)).astype(np.float32 if kind == FLOAT else np.float16)
    (got,) = make_session(model, native=True).run(None, {"x": x, **GRID})
    want = (np.clip(np.rint(x.astype(np.float32) / 0.5) + 2, 0, 7) - 2) * 0.5
    np.testing.assert_array_equal(got, want.astype(x.dtype))


@needs_library
def test_errors_are_statuses_that_name_the_operator():
    session = make_session(
        without_body(operator_model(fake_quantize.function(21), INPUTS, {"y": (FLOAT, 3)})), native=True
    )
    x = np.ones((2, 5, 4), np.float32)
    for _ in range(3):  # the session goes on
        with pytest.raises(Exception, match=r"onnxq\.FakeQuantize: scale must be a scalar or have one value"):
            session.run(None, {"x": x, **GRID, "scale": np.ones((3, 2, 2), np.float32)[0]})
        session.run(None, {"x": x, **GRID})


@needs_library
def test_shapes_are_inferred(tmp_path):
    outputs = {name: FLOAT if index < 2 else 11 if index < 4 else INT32 for index, name in enumerate(observe.OUTPUTS)}
    node = helper.make_node("Observe", ["x"], list(outputs), domain=DOMAIN)
    relu = helper.make_node("Relu", ["maximum"], ["r"])
    graph = helper.make_graph(
        [node, relu], "g", [helper.make_tensor_value_info("x", FLOAT, ["n", 7, 4])],
        [helper.make_tensor_value_info("r", FLOAT, None), helper.make_tensor_value_info("histogram", INT32, None)],
    )  # fmt: skip
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, 1)], ir_version=10
    )
    options = session_options(native=True)
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert [output.shape for output in session.get_outputs()] == [[7], [7, 256]]


def test_headers_are_those_that_are_known():
    module = find_headers()
    content = {name: name.encode() for name in module.HASHES}
    module.HASHES.update({name: hashlib.sha256(text).hexdigest() for name, text in content.items()})
    assert module.verified_headers(archive_of(content)) == content
    for wrong in ({**content, module.HEADER: b"other"}, {module.HEADER: content[module.HEADER]}):
        with pytest.raises(RuntimeError, match="missing, or not the one that is known"):
            module.verified_headers(archive_of(wrong))


def archive_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"onnxruntime-linux-x64/include/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
