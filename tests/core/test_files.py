"""Files: whole or not at all, and errors in one line."""

from __future__ import annotations

import subprocess
import sys

import onnx
import pytest
from helpers import small_network

from onnxq.core.files import replacing
from onnxq.errors import OnnxqError
from onnxq.graph.model_files import fingerprint, load_model, metadata, save_model, set_metadata


def test_round_trip(tmp_path):
    path = tmp_path / "m.onnx"
    save_model(small_network(), path)
    assert fingerprint(load_model(path)) == fingerprint(small_network())
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_fingerprint_sees_weights_but_not_metadata():
    model = small_network()
    before = fingerprint(model)
    set_metadata(model, {"note": "x"})
    assert fingerprint(model) == before
    assert metadata(model)["note"] == "x"
    assert fingerprint(small_network(seed=4)) != before


@pytest.mark.parametrize("content", [b"", b"hello, this is no model", "truncated", "no nodes"])
def test_bad_models_are_one_line_errors(tmp_path, content):
    path = tmp_path / "m.onnx"
    if content == "truncated":
        content = small_network().SerializeToString()[:-900]
    elif content == "no nodes":
        content = onnx.ModelProto(ir_version=10).SerializeToString()
    path.write_bytes(content)
    with pytest.raises(OnnxqError, match=r"m\.onnx: not a") as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(OnnxqError, match="no such file"):
        load_model(tmp_path / "m.onnx")
    with pytest.raises(OnnxqError, match="cannot"):
        load_model(tmp_path)
    with pytest.raises(OnnxqError, match="cannot write"):
        save_model(small_network(), tmp_path / "nowhere" / "m.onnx")


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path, failure):
    path = tmp_path / "m.txt"
    path.write_text("old")
    with pytest.raises(failure), replacing(path) as temporary:
        temporary.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.txt"]


def test_what_cannot_be_appended_whole_is_taken_back(tmp_path):
    """A limit of the system that ends within a line."""
    script = (
        "import resource, signal, sys\n"
        "from onnxq.core.files import append\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))\n"
        "append(sys.argv[1], lambda old: 'x' * 99 + '\\n')\n"
    )
    path = tmp_path / "log"
    path.write_text("y" * 99 + "\n")
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert "OnnxqError: cannot write" in done.stderr and path.read_text() == "y" * 99 + "\n"
