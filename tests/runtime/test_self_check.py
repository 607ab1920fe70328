"""Kernels are compared with function bodies before they are used. (On the CPU here: the comparison is the same.)"""

from __future__ import annotations

import json

import onnx
import pytest
from helpers import HAS_CUDA

from onnxq.runtime import self_check, sessions
from onnxq.runtime.library import find_library
from onnxq.runtime.self_check import kernels_problem, remembered_problem
from onnxq.runtime.sessions import make_session

pytestmark = pytest.mark.skipif(find_library() is None, reason="the native library was not built")


def make(model, native, provider):
    return make_session(model, "cpu", native=native)


def changed(name, which):
    """Sessions in which an operator's kernel computes something else, or fails."""

    def make_changed(model, native, provider):
        session = make(model, native, provider)
        if provider == "cpu" or model.graph.node[0].op_type != name:
            return session
        if which == "fails":
            raise RuntimeError("no kernel image is available")
        run = session.run

        class Changed:
            def run(self, names, feeds):
                outputs = run(names, feeds)
                outputs[0].reshape(-1)[-1] += 1
                return outputs

        return Changed()

    return make_changed


def test_kernels_that_equal_their_bodies():
    assert kernels_problem(make, "cuda") == ("", True)


@pytest.mark.parametrize("which", ["differs", "fails"])
@pytest.mark.parametrize("name", [*self_check.OPERATORS, "FixedPointConv"])
def test_one_that_does_not_is_named(name, which):
    problem, certain = kernels_problem(changed(name, which), "cuda")
    assert certain == (which == "differs")
    assert problem.startswith(f"{name}: ")
    assert ("no kernel image" in problem) == (which == "fails")


def test_the_answer_is_remembered_by_machine(tmp_path):
    asked = []

    def counting(model, native, provider):
        asked.append(model)
        return changed("Observe", "differs")(model, native, provider)

    first = remembered_problem(counting, {"driver": "1"}, tmp_path)
    count = len(asked)
    assert remembered_problem(counting, {"driver": "1"}, tmp_path) == first != ""
    assert len(asked) == count > 0
    remembered_problem(counting, {"driver": "2"}, tmp_path)
    assert len(asked) == 2 * count
    (path, _) = tmp_path.iterdir()
    path.write_text("{damaged")
    assert remembered_problem(counting, json.loads('{"driver": "1"}'), tmp_path) == first


def test_wrong_kernels_are_not_used(monkeypatch):
    monkeypatch.setattr(sessions, "has_cuda_kernels", lambda: True)
    monkeypatch.setattr(sessions, "remembered_problem", lambda make, machine: "Observe: wrong")
    sessions._unless_wrong.cache_clear()
    with pytest.warns(UserWarning, match="not used on this machine: Observe: wrong"):
        assert sessions._unless_wrong() is False
    monkeypatch.setattr(sessions, "remembered_problem", lambda make, machine: "")
    sessions._unless_wrong.cache_clear()
    assert sessions._unless_wrong() is None
    sessions._unless_wrong.cache_clear()


@pytest.mark.skipif(not HAS_CUDA, reason="no GPU")
def test_on_the_gpu():
    def on_gpu(model: onnx.ModelProto, native: bool, provider: str):
        return make_session(model, provider, native=native)

    assert kernels_problem(on_gpu, "cuda") == ("", True)
