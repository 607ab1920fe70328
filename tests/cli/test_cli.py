"""The commands, as a user types them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from helpers import small_network
from PIL import Image

from onnxq.data.datasets import open_dataset
from onnxq.data.loader import Loader, choose
from onnxq.data.preprocessing import Preprocessing
from onnxq.data.presets import PRESETS
from onnxq.flow import quantize
from onnxq.graph.model_files import metadata, save_model
from onnxq.recipe import Recipe
from onnxq.runtime.library import find_library
from onnxq_cli import demo, main
from onnxq_cli.main import _group

COMMAND = [sys.executable, "-c", "from onnxq_cli import main; main()"]


def onnxq(*arguments, ok=True):
    """Run the command in this process; returns (stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["onnxq", *map(str, arguments)])
        try:
            main()
        except SystemExit as ended:
            code = ended.code  # type: ignore[assignment]
    return checked(code, out.getvalue(), err.getvalue(), ok)


def onnxq_process(*arguments, cwd=None, ok=True):
    """Run the command in a process of its own, as a user does."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)
    return checked(done.returncode, done.stdout, done.stderr, ok)


def checked(code, out, err, ok):
    if ok:
        assert code == 0, err
    else:
        assert code == 1, (code, err)
        assert "Traceback" not in err
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, err
    return out, err


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def calibrated(small_model, small_data, tmp_path):
    stats = tmp_path / "small.npz"
    onnxq("calibrate", small_model, "--data", small_data, "-n", 10, "-o", stats)
    return stats


def test_the_whole_flow(small_model, small_data, calibrated, tmp_path):
    quantized, report = tmp_path / "q.onnx", tmp_path / "r.json"
    out, _ = onnxq_process("quantize", small_model, "--stats", calibrated, "--bits", 4, "-o", quantized)
    assert "W4A4, 4 layers" in out
    out, _ = onnxq("eval", small_model, quantized, "--data", small_data, "--json", report, "--provider", "cpu")
    assert "top-1 %" in out
    first, second = json.loads(report.read_text())["models"]
    assert first["images"] == second["images"] == 20
    assert first["top5"] == second["top5"] == 100
    assert {"path", "top1", "top5", "images", "correct", "seconds", "provider"} <= first.keys()
    out, _ = onnxq("quantize", small_model, "--stats", calibrated, "--bits", 3, "--format", "qdq", "-o", quantized)
    assert "note: 3-bit weights are stored as INT4" in out


def test_info_and_help():
    out, _ = onnxq("info")
    assert "CPU                works" in out
    assert ("FakeQuantize" in out) == (find_library() is not None)
    out, _ = onnxq("--help")
    for command in ("export", "calibrate", "quantize", "eval", "info", "demo"):
        assert command in out
        assert f"onnxq {command}" in onnxq(command, "--help")[0], "help shows an example"


def test_importing_onnxq_is_light():
    script = "import onnxq, sys; assert 'torch' not in sys.modules and 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_commands_do_not_import_torch(small_model, calibrated, tmp_path):
    script = "import sys; sys.modules['torch'] = None; from onnxq_cli import main; main()"
    arguments = ["quantize", small_model, "--stats", calibrated, "-o", tmp_path / "q.onnx"]
    subprocess.run([sys.executable, "-c", script, *map(str, arguments)], check=True, capture_output=True)


def test_missing_and_truncated_models(small_model, small_data, tmp_path):
    assert "no such file" in onnxq("calibrate", "no.onnx", "--data", small_data, "-o", tmp_path / "s.npz", ok=False)[1]
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(small_model.read_bytes()[:-700])
    for command in (["calibrate", bad, "-o", tmp_path / "s.npz"], ["eval", bad]):
        assert "truncated" in onnxq(*command, "--data", small_data, ok=False)[1]
    assert files_in(tmp_path) == ["bad.onnx", "data", "small.onnx"]


def test_wrong_statistics(calibrated, tmp_path):
    other = tmp_path / "other.onnx"
    onnx.save(small_network(seed=8), other)
    _, error = onnxq("quantize", other, "--stats", calibrated, "-o", tmp_path / "q.onnx", ok=False)
    assert "belong to another model" in error
    calibrated.write_bytes(b"nothing")
    _, error = onnxq("quantize", other, "--stats", calibrated, "-o", tmp_path / "q.onnx", ok=False)
    assert "not a statistics file" in error
    assert not (tmp_path / "q.onnx").exists()


def test_bad_images(small_model, small_data, tmp_path):
    (small_data / "class1" / "2.png").write_bytes(b"no image")
    arguments = ["calibrate", small_model, "--data", small_data, "-o", tmp_path / "s.npz"]
    assert "class1/2.png: cannot be decoded" in onnxq(*arguments, ok=False)[1]
    assert not (tmp_path / "s.npz").exists()
    _, error = onnxq(*arguments, "--skip-bad-images")
    assert "class1/2.png" in error
    assert "1 images left out" in error


def test_fewer_folders_than_classes_is_warned_about(small_model, small_data, tmp_path):
    for path in (small_data / "class4").iterdir():
        path.unlink()
    (small_data / "class4").rmdir()
    assert (
        "4 class folders, 5 classes in the model; give --classes" in onnxq("eval", small_model, "--data", small_data)[1]
    )
    classes = tmp_path / "classes.txt"
    classes.write_text("".join(f"class{number}\n" for number in range(5)))
    assert "warning" not in onnxq("eval", small_model, "--data", small_data, "--classes", classes)[1]


def test_empty_data(small_model, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no images" in onnxq("eval", small_model, "--data", empty, ok=False)[1]
    assert "no such folder" in onnxq("eval", small_model, "--data", tmp_path / "nowhere", ok=False)[1]


def test_nan_weights_and_activations_are_named(small_data, tmp_path):
    model = small_network()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w2")
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "w2"))
    path = tmp_path / "nan.onnx"
    onnx.save(model, path)
    _, error = onnxq("calibrate", path, "--data", small_data, "-o", tmp_path / "s.npz", ok=False)
    assert "weight w2 has NaN" in error


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root writes everywhere")
def test_a_read_only_folder(small_model, calibrated, tmp_path):
    target = tmp_path / "locked"
    target.mkdir()
    target.chmod(0o555)
    if os.geteuid() == 0:  # root may write there: /proc takes no files from anybody
        target = "/proc"
    _, error = onnxq("quantize", small_model, "--stats", calibrated, "-o", f"{target}/q.onnx", ok=False)
    assert "cannot write" in error


def test_cuda_without_a_gpu(small_model, small_data):
    from helpers import HAS_CUDA

    if HAS_CUDA:
        pytest.skip("there is a GPU")
    _, error = onnxq("eval", small_model, "--data", small_data, "--provider", "cuda", ok=False)
    assert "--provider cuda: " in error


def test_usage_errors_exit_with_2(small_model):
    done = subprocess.run([*COMMAND, "quantize", small_model, "--bits", "99"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Usage" in done.stderr


def test_a_model_without_preprocessing_asks_for_a_preset(small_data, tmp_path):
    model = small_network()
    del model.metadata_props[:]
    path = tmp_path / "plain.onnx"
    onnx.save(model, path)
    done = subprocess.run([*COMMAND, "eval", path, "--data", small_data], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--preset" in done.stderr


def test_a_preset_is_written_into_the_file_and_another_one_is_warned_about(small_model, small_data, tmp_path):
    own = Preprocessing.from_metadata(metadata(onnx.load(small_model)))
    preset = PRESETS["cifar"].for_shape([1, 3, 8, 8])
    assert own != preset
    asked = ("quantize", small_model, "--data", small_data, "--bits", "8", "--rounding", "nearest")
    _, told = onnxq(*asked, "-o", tmp_path / "own.onnx")
    assert "says otherwise" not in told
    assert Preprocessing.from_metadata(metadata(onnx.load(tmp_path / "own.onnx"))) == own
    _, told = onnxq(*asked, "--preset", "cifar", "-o", tmp_path / "q.onnx")
    assert "says otherwise how images become its input; --preset is followed" in told
    assert Preprocessing.from_metadata(metadata(onnx.load(tmp_path / "q.onnx"))) == preset
    onnxq("calibrate", small_model, "--data", small_data, "--preset", "cifar", "-o", tmp_path / "s.npz")
    without = ("quantize", small_model, "--stats", tmp_path / "s.npz", "-o", tmp_path / "s.onnx")
    _, told = onnxq(*without, ok=False)
    assert "the statistics were made of images preprocessed as" in told and "give the --preset" in told
    onnxq(*without, "--preset", "cifar")
    assert Preprocessing.from_metadata(metadata(onnx.load(tmp_path / "s.onnx"))) == preset


def test_python_makes_the_same_file(small_model, small_data, tmp_path):
    asked = ("--target", "onnxruntime", "--weight-bits", "4", "--act-bits", "8", "-n", 20)
    onnxq("quantize", small_model, "--data", small_data, *asked, "-o", tmp_path / "cli.onnx")
    preprocessing = Preprocessing.from_metadata(metadata(onnx.load(small_model)))
    assert preprocessing is not None
    dataset = open_dataset(str(small_data), "calib")
    loader = Loader(dataset, preprocessing, choose(len(dataset), 20))
    recipe = Recipe.of(target="onnxruntime", weight_bits=4, act_bits=8)
    save_model(quantize(small_model, None, recipe, images=loader.images).model, tmp_path / "python.onnx")
    assert (tmp_path / "cli.onnx").read_bytes() == (tmp_path / "python.onnx").read_bytes()


def test_nothing_is_said_of_arrays_that_need_no_preprocessing(tmp_path):
    bare = small_network()
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    values = np.random.default_rng(0).normal(size=(16, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "ready.npz", images=values, labels=np.zeros(16, np.int64))
    onnxq("calibrate", tmp_path / "bare.onnx", "--data", tmp_path / "ready.npz", "-o", tmp_path / "s.npz")
    for source in (("--stats", tmp_path / "s.npz"), ("--data", tmp_path / "ready.npz")):
        onnxq("quantize", tmp_path / "bare.onnx", *source, "-o", tmp_path / "q.onnx")
        assert Preprocessing.from_metadata(metadata(onnx.load(tmp_path / "q.onnx"))) is None


def test_what_is_missing_is_named(small_model, small_data, tmp_path):
    _, told = onnxq("quantize", small_model, "--data", small_data, "-o", tmp_path / "no" / "q.onnx", ok=False)
    assert "there is no folder" in told
    _, told = onnxq("quantize", small_model, "-o", tmp_path / "q.onnx", ok=False)
    assert "needs images (--data), or statistics of them (--stats)" in told
    done = CliRunner().invoke(_group, ["quantise"])
    assert done.exit_code == 2 and "Did you mean 'quantize'?" in done.output


def test_sizes_count_weights_beside_a_file(small_model, small_data, tmp_path):
    onnx.save(small_network(), tmp_path / "b.onnx", save_as_external_data=True, location="b.data", size_threshold=0)
    onnxq("eval", small_model, tmp_path / "b.onnx", "--data", small_data, "--json", tmp_path / "sizes.json")
    one, other = (entry["bytes"] for entry in json.loads((tmp_path / "sizes.json").read_text())["models"])
    assert one <= other < 1.5 * one


def test_gray_and_odd_images_are_taken(small_model, small_data):
    Image.new("L", (8, 8), 99).save(small_data / "class0" / "gray.png")
    Image.new("RGBA", (8, 8)).save(small_data / "class0" / "alpha.png")
    onnxq("eval", small_model, "--data", small_data)


@pytest.mark.slow
def test_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "CALIBRATION_IMAGES", 64)  # it takes half of the time
    out, _ = onnxq("demo", "-n", 200, "-o", tmp_path / "demo", "--json", tmp_path / "r.json")
    assert "w4a4-naive" in out
    results = json.loads((tmp_path / "r.json").read_text())["models"]
    top1 = {entry["path"].split("mobilenet_v2.")[1]: entry["top1"] for entry in results}
    assert top1["w4a4.onnx"] >= top1["w4a4-naive.onnx"] + 10
    assert min(top1["int8.onnx"], top1["w4a8.onnx"] + 2) >= top1["onnx"] - 2
    sizes = {entry["path"].split("mobilenet_v2.")[1]: entry["bytes"] for entry in results}
    assert sizes["w4a8.onnx"] < 0.2 * sizes["onnx"]
    assert "mobilenet_v2.w4a4-aciq.onnx" in files_in(tmp_path / "demo")
