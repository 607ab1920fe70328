"""What is read is never written; what is written replaces a file whole, where it lies, with its permissions."""

from __future__ import annotations

import json
import os
import socket
import stat

import onnx
import pytest
from cli.test_cli import calibrated, onnxq  # noqa: F401
from helpers import small_network

from onnxq.core.files import check_output, replacing, tempfile_beside
from onnxq.errors import OnnxqError


@pytest.fixture
def inputs(small_model, small_data, calibrated, tmp_path):  # noqa: F811
    external = tmp_path / "ext.onnx"
    onnx.save(small_network(), external, save_as_external_data=True, location="ext.bin", size_threshold=0)
    (tmp_path / "r.yaml").write_text("bits: 4\n")
    (tmp_path / "c.txt").write_text("\n".join(f"class{number}" for number in range(5)))
    return {
        "model": small_model, "data": small_data, "stats": calibrated, "external": external,
        "weights": tmp_path / "ext.bin", "recipe": tmp_path / "r.yaml", "classes": tmp_path / "c.txt",
        "image": small_data / "class0" / "0.png",
    }  # fmt: skip


COMMANDS = {
    "calibrate {model} --data {data} -n 8 --classes {classes} -o": ("model", "image", "classes"),
    "calibrate {external} --data {data} -n 8 -o": ("external", "weights"),
    "eval {model} --data {data} -n 8 --json": ("model", "image"),
    "eval {model} {external} --data {data} -n 8 --json": ("external", "weights"),
    "quantize {model} --stats {stats} --recipe {recipe} -o": ("model", "stats", "recipe"),
    "quantize {external} --weight-bits 8 --act-bits none -o": ("external", "weights"),
    "equalize {model} --stats {stats} -o": ("model", "stats"),
    "expand {model} -o": ("model",),
    "check {model} --json": ("model",),
}
CASES = [(command, name) for command, names in COMMANDS.items() for name in names]


@pytest.mark.parametrize("way", ["path", "hard link", "symbolic link"])
@pytest.mark.parametrize(("command", "name"), CASES)
def test_an_input_is_no_output(inputs, tmp_path, command, name, way):
    target, before = inputs[name], inputs[name].read_bytes()
    if way != "path":
        link = tmp_path / "link"
        if way == "hard link":
            link.hardlink_to(target)
        else:
            link.symlink_to(target)
        target = link
    _, said = onnxq(*command.format(**inputs).split(), target, ok=False)
    assert "is an input, too" in said
    assert inputs[name].read_bytes() == before
    assert target.is_symlink() == (way == "symbolic link")


def test_constants_and_linked_images_are_inputs(small_model, small_data, tmp_path):
    model = small_network()
    tensor = onnx.TensorProto(
        name="c", data_type=onnx.TensorProto.FLOAT, dims=[1], data_location=onnx.TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="const.bin")
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["c"], value=tensor))
    (tmp_path / "const.bin").write_bytes(bytes(4))
    (tmp_path / "c.onnx").write_bytes(model.SerializeToString())
    _, said = onnxq("expand", tmp_path / "c.onnx", "-o", tmp_path / "const.bin", ok=False)
    assert "is an input, too" in said
    outside = tmp_path / "outside.png"
    (small_data / "class0" / "0.png").rename(outside)
    (small_data / "class0" / "0.png").symlink_to(outside)
    (small_data / "class0" / "dangling.png").symlink_to("nowhere")
    for target in (outside, tmp_path / "other.png"):
        if target != outside:
            target.hardlink_to(small_data / "class0" / "1.png")
        _, said = onnxq("eval", small_model, "--data", small_data, "--json", target, ok=False)
        assert "is an input, too" in said


def test_no_devices_pipes_or_folders(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "socket"))
        for name in (tmp_path / "pipe", tmp_path / "socket", "/dev/null", tmp_path, "", f"{tmp_path}/new/"):
            with pytest.raises(OnnxqError, match="cannot write"):
                check_output(name)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_links_are_followed_and_permissions_kept(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to("target")
    with replacing(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    dangling = tmp_path / "dangling"
    dangling.symlink_to("not yet")
    with replacing(dangling) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "not yet").read_text() == "new"


def test_long_names(tmp_path):
    for length in (200, 250, 255):
        with replacing(tmp_path / ("n" * length)) as temporary:
            temporary.write_text("")
        assert (tmp_path / ("n" * length)).exists()
    with pytest.raises(OnnxqError, match="File name too long"):
        check_output(tmp_path / ("n" * 256))


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path):
    target = tmp_path / "m.onnx"
    dead, other = tmp_path / ".m.onnx.0123456789ab.part", tmp_path / ".n.onnx.0123456789ab.part"
    dead.write_text("half")
    other.write_text("half")
    with tempfile_beside(target) as living:
        assert not dead.exists()
        with tempfile_beside(target) as second:
            assert living.exists()
            assert second != living
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name]


def test_a_demo_does_not_replace_a_model_of_the_same_name(tmp_path):
    mine = tmp_path / "mobilenet_v2.onnx"
    mine.write_text("mine")
    _, said = onnxq("demo", "-o", tmp_path, ok=False)
    assert "is there already" in said
    assert mine.read_text() == "mine"


def test_json_replaces_an_older_report(inputs, tmp_path):
    report = tmp_path / "r.json"
    report.write_text("old")
    onnxq("eval", inputs["model"], "--data", inputs["data"], "-n", 4, "--json", report)
    assert json.loads(report.read_text())["models"]
