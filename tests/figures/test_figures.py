"""Figures: what is in them, and how they are written."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from onnxq.errors import OnnxqError
from onnxq.figures import FIGURES
from onnxq.figures.base import save_figure
from onnxq.figures.layer_weights import chosen_layer
from onnxq.recipe.flat import OPTIONS
from onnxq_cli.main import _group

matplotlib = pytest.importorskip("matplotlib")

ROW = "2026-01-01,m.onnx,f.onnx,W%dA%d,{},d,10,cpu,%g,99\n"


@pytest.fixture
def table(tmp_path):
    """What `eval --csv` writes."""
    text = (
        "when,file,reference,widths,recipe,data,images,provider,top1,top5\n2026-01-01,f.onnx,f.onnx,,,d,10,cpu,90,99\n"
    )
    text += "".join(ROW % (bits, acts, 50 + bits) for bits in (2, 3, 4) for acts in (4, 8))
    (tmp_path / "log.csv").write_text(text)
    return tmp_path / "log.csv"


RESULT = json.dumps({"model": "a.onnx", "result": {"top1": 70.0, "bytes": 1e6, "images_per_second": 100.0}})


def test_the_front_is_a_line_and_what_others_beat_is_not_on_it(tmp_path):
    paths = []
    for number, (top1, size, speed) in enumerate([(70, 1e6, 100), (60, 2e6, 90), (80, 3e6, 120)]):
        paths.append(tmp_path / f"{number}.json")
        result = {"top1": top1, "bytes": size, "images_per_second": speed}
        paths[-1].write_text(json.dumps({"model": "a.onnx", "result": result}))
    by_bytes, by_speed = drawn("pareto", paths)
    assert by_bytes.lines[0].get_xydata().tolist() == [[1e6, 70], [3e6, 80]]
    assert by_speed.lines[0].get_xydata().tolist() == [[120, 80]]
    paths[0].write_text("{}")
    with pytest.raises(OnnxqError, match="no result of `onnxq sweep`"):
        drawn("pareto", paths)


def drawn(name, paths=(), **parameters):
    """The axes of a figure."""
    from matplotlib.figure import Figure

    figure = FIGURES.parse({name: parameters})
    axes = Figure().subplots(1, figure.panels, squeeze=False)[0]
    figure.draw(axes, [str(path) for path in paths])
    return axes


@pytest.mark.parametrize("name", FIGURES.names())
@pytest.mark.parametrize("suffix", ["svg", "png", "html", "pdf"])
def test_every_figure_in_every_format(name, suffix, small_model, table, tmp_path):
    figure = FIGURES.parse(name)
    (tmp_path / "result.json").write_text(RESULT)
    inputs = {"sweep": table, "pareto": tmp_path / "result.json"}
    paths = [str(inputs.get(name, small_model))] if figure.inputs else []
    outputs = [tmp_path / f"{number}.{suffix}" for number in range(2)]
    for output in outputs:
        save_figure(figure, paths, output)
    content = outputs[0].read_bytes()
    assert content == outputs[1].read_bytes()
    assert content.startswith({"svg": b"<?xml", "png": b"\x89PNG", "html": b"<!DOCTYPE html>", "pdf": b"%PDF"}[suffix])
    if suffix == "html":
        assert b"<script" not in content and b'src="' not in content and b"<svg" in content


def test_the_optimum_of_clipping_is_marked():
    laplace, gauss = drawn("clipping-error")
    marked = [line.get_xdata()[0] for line in laplace.lines if len(line.get_xdata()) == 1]
    assert marked == pytest.approx([2.830683, 3.897229, 5.028640], rel=1e-6)
    for panel in (laplace, gauss):
        curves = [line for line in panel.lines if len(line.get_xdata()) > 1]
        optima = [line.get_ydata()[0] for line in panel.lines if len(line.get_xdata()) == 1]
        assert all(curve.get_ydata().min() >= best - 1e-12 for curve, best in zip(curves, optima, strict=True))


def test_bits_per_channel_never_lose_on_drawn_channels():
    _, many = drawn("bit-allocation")
    for line in many.lines:
        assert line.get_ydata()[0] == pytest.approx(1) and (np.diff(line.get_ydata()) < 1e-9).all()


def test_corrections_restore_what_they_say(small_model):
    mean, spread = drawn("bias", [small_model])
    shifts = [np.abs(line.get_ydata()).max() for line in mean.lines]
    assert shifts[0] > 1e-3 and max(shifts[1:]) < 1e-5
    assert np.abs(spread.lines[2].get_ydata() - 1).max() < 1e-5 < np.abs(spread.lines[1].get_ydata() - 1).max()


def test_levels_of_weights(small_model):
    (panel,) = drawn("weights", [small_model], bits=(3,), weights="apot", layer="w2")
    lines = {round(float(line.get_xdata()[0]), 6) for line in panel.lines}
    assert len(lines) <= 7 and panel.patches


def test_a_sweep_has_a_line_for_each_width(table):
    (panel,) = drawn("sweep", [table])
    lines = {line.get_label(): list(line.get_ydata()) for line in panel.lines}
    assert lines["activations 4 bits"] == lines["activations 8 bits"] == [52, 53, 54] and lines["float"] == [90, 90]


@pytest.mark.parametrize("name", OPTIONS["weights"]())
def test_every_format_of_weights(name, small_model, tmp_path):
    save_figure(FIGURES.parse({"bias": {"weights": name, "bits": (3, 8)}}), [str(small_model)], tmp_path / "f.svg")
    try:
        save_figure(FIGURES.parse({"weights": {"weights": name}}), [str(small_model)], tmp_path / "f.svg")
    except OnnxqError as error:
        assert "mid-tread" in name and "no levels for a tensor as a whole" in str(error)


def test_networks_and_data_are_kept_apart(table, tmp_path):
    (tmp_path / "more.csv").write_text(table.read_text().replace("f.onnx", "g.onnx"))
    (panel,) = drawn("sweep", [table, tmp_path / "more.csv"])
    labels = {line.get_label() for line in panel.lines}
    assert labels == {f"{net}, d: {what}" for net in ("f.onnx", "g.onnx") for what in
                      ("float", "activations 4 bits", "activations 8 bits")}  # fmt: skip


def test_recipes_are_kept_apart_and_unknown_ones_left_out(table, tmp_path):
    text = table.read_text()
    rows = [line for line in text.splitlines() if ",W" in line]
    other = [line.replace(",{},", ',"{""weights"": {""bits"": 3, ""format"": ""apot""}}",') for line in rows]
    unknown = rows[0].replace(",{},", ",,").replace("W2A4", "other")
    (tmp_path / "two.csv").write_text("\n".join([text.rstrip(), *other, unknown]) + "\n")
    (panel,) = drawn("sweep", [tmp_path / "two.csv"])
    labels = [line.get_label() for line in panel.lines]
    assert len(labels) == len(set(labels)) == 5 and sum("apot" in label for label in labels) == 2
    assert all(len(line.get_ydata()) == 3 for line in panel.lines if "activations" in line.get_label())


def test_a_damaged_table_is_said(table, tmp_path):
    text = table.read_text()
    for bad in (text.replace(",90,", ",nan,"), "when\n1\n", text.replace(",90,99", "")):
        (tmp_path / "bad.csv").write_text(bad)
        with pytest.raises(OnnxqError, match="not a table of"):
            drawn("sweep", [tmp_path / "bad.csv"])
    (tmp_path / "odd.csv").write_text(text.replace("W2A4", "W2.A4."))
    (panel,) = drawn("sweep", [tmp_path / "odd.csv"])
    assert len(next(line for line in panel.lines if line.get_label() == "activations 4 bits").get_ydata()) == 2


def test_options_that_a_figure_does_not_have(tmp_path):
    for arguments in (["levels", "--layer", "x"], ["clipping-error", "--weights", "apot"]):
        done = CliRunner().invoke(_group, ["plot", *arguments, "-o", str(tmp_path / "f.svg")])
        assert done.exit_code != 0 and "its parameters are bits" in str(done.exception)
    done = CliRunner().invoke(_group, ["plot", "levels", "--bits", "5", "-o", str(tmp_path / "f.svg")])
    assert done.exit_code == 0 and (tmp_path / "f.svg").read_bytes().startswith(b"<?xml")


def test_what_cannot_be_drawn_is_said(small_model, table, tmp_path):
    with pytest.raises(OnnxqError, match=r"figures are \.svg"):
        save_figure(FIGURES.parse("levels"), [], tmp_path / "levels.jpg")
    with pytest.raises(OnnxqError, match="has no such layer"):
        chosen_layer([str(small_model)], "nothing*")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(OnnxqError, match="not a table of"):
        drawn("sweep", [tmp_path / "other.csv"])
    for arguments in (["levels", small_model], ["weights"]):
        done = CliRunner().invoke(_group, ["plot", *map(str, arguments), "-o", str(tmp_path / "f.svg")])
        assert done.exit_code != 0 and "is drawn from" in done.output
