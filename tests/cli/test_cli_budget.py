"""Budgets on the command line: sizes, losses, sensitivities."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from cli.test_cli import onnxq as command
from click.testing import CliRunner
from helpers import parse
from PIL import Image

import onnxq
from onnxq.data.preprocessing import Preprocessing
from onnxq.graph.model_files import load_model, save_model, set_metadata
from onnxq.search import drop
from onnxq.search.drop import smallest_within
from onnxq.search.judge import Judge
from onnxq_cli.budget import bytes_of
from onnxq_cli.main import _group

CLASSES = 4


@pytest.fixture
def data(tmp_path, random):
    """Noise around a pattern for each class."""
    patterns = random.integers(60, 196, (CLASSES, 8, 8, 3))
    for kind, pattern in enumerate(patterns):
        folder = tmp_path / "images" / str(kind)
        folder.mkdir(parents=True)
        for index in range(20):
            pixels = np.clip(pattern + random.normal(0, 30, pattern.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "images"


@pytest.fixture
def model(tmp_path, data, random):
    """Random features, and a linear layer that was fitted to the classes."""
    weights = {
        "w0": random.normal(size=(24, 3, 3, 3)).astype(np.float32) / 5,
        "w1": random.normal(size=(32, 24, 3, 3)).astype(np.float32) / 15,
        "w2": np.zeros((32 * 16, CLASSES), np.float32),
    }
    text = """net (float[n,3,8,8] x) => (float[n,4] y) {
        a = Conv <pads = [1,1,1,1]> (x, w0)  r = Relu(a)
        b = Conv <pads = [1,1,1,1], strides = [2,2]> (r, w1)  s = Relu(b)
        f = Flatten(s)  y = Gemm(f, w2)
    }"""
    said = Preprocessing((3, 8, 8), None, None, (0.5,) * 3, (0.5,) * 3)
    loader = onnxq.Loader(onnxq.open_dataset(str(data), "calib"), said, range(CLASSES * 20), batch_size=80)
    (batch,) = loader
    features = text.replace("y = Gemm(f, w2)", "y = Identity(f)").replace("float[n,4] y", "float[n,m] y")
    from helpers import run

    (x,) = run(parse(features, {name: weights[name] for name in ("w0", "w1")}), {"x": batch.images}, native=None)
    wanted = np.eye(CLASSES, dtype=np.float32)[batch.labels]
    weights["w2"] = np.linalg.lstsq(
        np.concatenate([x, np.eye(x.shape[1], dtype=np.float32)]),
        np.concatenate([wanted, np.zeros((x.shape[1], CLASSES), np.float32)]),
        rcond=None,
    )[0].astype(np.float32)
    made = parse(text, weights)
    set_metadata(made, said.to_metadata())
    save_model(made, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


@pytest.mark.parametrize(
    ("text", "size"), [("2.0MB", 2e6), ("900kb", 9e5), ("1KiB", 1024), ("12345", 12345), (" 3 GB ", 3e9), ("7B", 7)]
)
def test_sizes_as_people_write_them(text, size):
    assert bytes_of(text) == size


def test_a_size_and_known_sensitivities(model, data, tmp_path):
    said, _ = command("search", model, "--data", data, "--sensitivity", tmp_path / "s.json", "-n", 40)
    assert said.splitlines()[2].split() == [
        "layer",
        "op",
        "weights",
        "2",
        "bits",
        "3",
        "bits",
        "4",
        "bits",
        "6",
        "bits",
        "8",
        "bits",
    ]
    assert len(json.loads((tmp_path / "s.json").read_text())["layers"]) == 3
    command("quantize", model, "--data", data, "--act-bits", 8, "--weight-bits", 4, "-o", tmp_path / "plain.onnx")
    size = (tmp_path / "plain.onnx").stat().st_size
    known = ["--sensitivity", tmp_path / "s.json"]
    said, _ = command(
        *("quantize", model, "--data", data, "--act-bits", 8, "--size", size, *known, "-o", tmp_path / "q.onnx")
    )
    assert 0.95 * size < (tmp_path / "q.onnx").stat().st_size <= size
    assert "note: bits of weights by layer" in said
    _, error = command("quantize", model, "--data", data, "--size", "1kB", *known, "-o", tmp_path / "n.onnx", ok=False)
    assert "no widths make a file of 1000 bytes" in error and not (tmp_path / "n.onnx").exists()


def test_the_smallest_file_that_loses_little(model, data, tmp_path):
    said, _ = command(
        "quantize", model, "--data", data, "--act-bits", 8, "--max-drop", 2.5, "-n", 40, "-o", tmp_path / "q.onnx"
    )
    command("search", model, "--data", data, "--sensitivity", tmp_path / "s.json", "-n", 40)
    known, told = command(
        *("quantize", model, "--data", data, "--act-bits", 8, "--max-drop", 2.5, "-n", 40, "-o", tmp_path / "q.onnx"),
        *("--sensitivity", tmp_path / "s.json"),
    )
    assert known == said and "3.99 bits a weight: " in told
    lines = [line.split() for line in said.splitlines() if line[:1].isdigit()]
    assert 1 <= len(lines) <= 8
    likely = {float(bits): max(float(lost), 0) + float(error) for bits, _, _, lost, error in lines}
    enough = [bits for bits, most in likely.items() if most <= 2.5]
    exact, own = onnxq.evaluate(
        [model, tmp_path / "q.onnx"],
        onnxq.Loader(onnxq.open_dataset(str(data), "calib"), _said(model), range(CLASSES * 20)),
    )
    assert exact.top1 - own.top1 <= 2.5
    smallest = min(enough)
    assert "than with 4 bits for all but the first and the last layer" in said
    assert all(most > 2.5 for bits, most in likely.items() if bits < smallest)
    assert f": W{smallest:.1f}"[:4] in said and "it may lose more" not in said


def _said(model):
    said = Preprocessing.from_metadata({entry.key: entry.value for entry in load_model(model).metadata_props})
    assert said is not None
    return said


def test_without_labels_it_is_agreement_and_too_much_is_said(model, data, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in data.rglob("*.png"):
        path.rename(flat / f"{path.parent.name}_{path.name}")
    asked = ("quantize", model, "--data", flat, "--act-bits", 8, "-n", 40, "-o", tmp_path / "q.onnx")
    said, _ = command(*asked, "--max-drop", 50)
    assert said.splitlines()[2].split()[0] == "3.99"
    (tmp_path / "mine.py").write_text(
        "calls = 0\n\n\ndef score(outputs, labels):\n    global calls\n    calls += 1\n    return 100 * (calls <= 6)\n"
    )  # 100 of the float network, which is tried on a batch and comes first, in five batches, and 0 of the others
    own = ["--metric", f"{tmp_path / 'mine.py'}:score"]
    _, error = command(*asked[:-1], tmp_path / "n.onnx", "--max-drop", 5, *own, ok=False)
    assert "no file loses at most 5: the best one of" in error and "loses 100.00" in error
    assert not (tmp_path / "n.onnx").exists()


def test_a_search_that_was_stopped_goes_on(model, data, tmp_path, monkeypatch):
    """After Ctrl-C in the second file: the first one is not made again, and the result is that of one run."""
    asked = ("quantize", model, "--data", data, "--act-bits", 8, "--max-drop", 2.5, "-n", 40, "-o", tmp_path / "q.onnx")
    whole, _ = command(*asked)
    want = (tmp_path / "q.onnx").read_bytes()
    (tmp_path / "q.onnx").unlink()
    calls, made = [], drop.quantize

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return made(*arguments, **options)

    monkeypatch.setattr(drop, "quantize", interrupted)
    with pytest.raises(AssertionError, match="130"):  # the exit code of Ctrl-C
        command(*asked, "--keep", tmp_path / "kept", ok=False)
    assert len(list((tmp_path / "kept").glob("*.json"))) == 2  # sensitivities, and a file's result
    again, _ = command(*asked, "--keep", tmp_path / "kept")
    assert again == whole and (tmp_path / "q.onnx").read_bytes() == want
    before = len(calls)
    command(*asked, "--keep", tmp_path / "kept")
    assert len(calls) <= before + 1 and (tmp_path / "q.onnx").read_bytes() == want  # the best one alone
    said, _ = command(*asked[:-3], 41, *asked[-2:], "--keep", tmp_path / "kept")
    assert len(list((tmp_path / "kept").glob("*sensitivity.json"))) == 2, said  # of other images nothing is known


def test_files_are_judged_on_other_images(model, data, tmp_path):
    """Whose labels are all wrong: there is nothing to lose, so that 2 bits do."""
    for number, folder in enumerate(sorted(data.iterdir())):
        shutil.copytree(folder, tmp_path / "other" / str((number + 1) % CLASSES))
    asked = ("quantize", model, "--data", data, "--act-bits", 8, "--max-drop", 2.5, "-n", 40, "-o", tmp_path / "q.onnx")
    said, _ = command(*asked, "--test", tmp_path / "other", "--task", "classification")
    lines = [line.split() for line in said.splitlines() if line[:1].isdigit()]
    assert all(float(lost) + float(error) <= 2.5 for _, _, _, lost, error in lines) and float(lines[-1][0]) < 2.5
    assert f": W{float(lines[-1][0]):.1f}"[:4] in said  # the line about the file says what was chosen


@pytest.mark.parametrize(
    "options",
    [["--format", "qdq"], ["--target", "onnxruntime"], ["--target", "arm"], ["--weights", "apot", "--scheme", "apot"]],
    ids=str,
)
def test_the_summary_says_what_was_chosen(model, data, tmp_path, options):
    """In every kind of file; and mentions what the file says itself."""
    asked = ("quantize", model, "--data", data, "--act-bits", 8, *options, "-n", 40, "-o", tmp_path / "q.onnx")
    said, _ = command(*asked, "--size-ratio", 0.6)
    assert said.splitlines()[0].startswith(f"{tmp_path / 'q.onnx'}: W")
    assert "note: bits of weights by layer" in said


def test_statistics_are_part_of_what_a_kept_search_depends_on(model, data, tmp_path):
    for count in (16, 40):
        command("calibrate", model, "--data", data, "-n", count, "-o", tmp_path / f"{count}.npz")
        asked = (
            "quantize",
            model,
            "--data",
            data,
            "--act-bits",
            8,
            "--max-drop",
            50,
            "-n",
            20,
            "-o",
            tmp_path / "q.onnx",
        )
        command(*asked, "--stats", tmp_path / f"{count}.npz", "--keep", tmp_path / "kept")
    assert len(list((tmp_path / "kept").glob("*sensitivity.json"))) == 2


def test_errors_count_the_other_way(model, data, tmp_path):
    """Percent that is wrong, of a function that says so, loses what top-1 loses."""
    (tmp_path / "mine.py").write_text(
        "def wrong(outputs, labels):\n    return 100 * float((outputs[0].argmax(axis=1) != labels).mean())\n\n\n"
        "wrong.fewer_is_better = True\n"
    )
    asked = ("quantize", model, "--data", data, "--act-bits", 8, "--max-drop", 2.5, "-n", 40, "-o", tmp_path / "q.onnx")
    want, _ = command(*asked)
    got, _ = command(*asked, "--metric", f"{tmp_path / 'mine.py'}:wrong")
    assert "top1 of the float network: 100\n" in want and "wrong of the float network: 0\n" in got
    assert got.replace("wrong of the float network: 0", "top1 of the float network: 100") == want


def test_a_metric_of_other_units_is_noted(model, data, tmp_path):
    """Of 0 to 1, a loss of 1 is no limit; and files that the target makes alike are tried once."""
    (tmp_path / "mine.py").write_text(
        "def share(outputs, labels):\n    return float((outputs[0].argmax(axis=1) == labels).mean())\n"
    )
    asked = ("quantize", model, "--data", data, "--act-bits", 8, "--target", "onnxruntime", "-n", 40)
    said, _ = command(*asked, "--metric", f"{tmp_path / 'mine.py'}:share", "--max-drop", 1, "-o", tmp_path / "q.onnx")
    assert "share of the float network: 1\n" in said
    assert "1 is no less than all that the float network has" in said
    table = said.split("\n\n")[0].splitlines()[2:]
    assert len({line.split()[0] for line in table}) == len(table) > 1


def test_what_cannot_be_judged_is_said_before_anything_runs(model, data, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20, 3, 8, 8), np.float32))
    asked = ("quantize", model, "--data", tmp_path / "x.npy", "--act-bits", 8, "-o", tmp_path / "q.onnx")
    _, error = command(*asked, "--max-drop", 1, "--metric", "distance", ok=False)
    assert "--max-drop needs a metric that says how good a file is" in error and "calibrating" not in error


def test_as_many_evaluations_as_allowed(model, data):
    loader = onnxq.Loader(onnxq.open_dataset(str(data), "calib"), _said(model), range(0, 80, 2), batch_size=40)
    judge = Judge(model, loader, ("agreement",))
    tried = smallest_within(
        0.0, judge, None, onnxq.Recipe.of(act_bits=8), [batch.images for batch in loader], evaluations=2
    ).tried
    assert len(tried) <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-drop", "1"], "--max-drop needs --data"),
        (["--metric", "agreement"], "--metric goes with --max-drop"),
        (["--test", "photos"], "--test goes with --max-drop"),
        (["--task", "ocr"], "--task goes with --max-drop"),
        (["--size", "many"], "many: a number of bytes, like 900kB or 2.0MB"),
    ],
)
def test_options_that_do_not_go_together(model, tmp_path, options, message):
    done = CliRunner().invoke(_group, ["quantize", str(model), *options, "-o", str(tmp_path / "q.onnx")])
    assert done.exit_code == 2 and message in done.output
    both = CliRunner().invoke(
        _group,
        ["quantize", str(model), "--data", "demo", "--max-drop", "1", "--size", "9kB", "-o", str(tmp_path / "q.onnx")],
    )
    assert both.exit_code == 2 and "none of --size, --size-ratio, --bops-ratio" in both.output


def test_images_that_are_too_few_to_say(model, data, tmp_path):
    """The widest file that may lose so little, and a warning that it may lose more."""
    (tmp_path / "mine.py").write_text(
        "import itertools\n\ncalls = itertools.count(-21)\n\n\ndef score(outputs, labels):\n    call = next(calls)\n"
        "    return 50 if call < 0 else 100 * (call % 2)\n"
    )  # 50 of the float network, tried on one batch and run on twenty; 0 and 100 in turn of all others: 50 +- 11.5
    asked = ("quantize", model, "--data", data, "--act-bits", 8, "-n", 40, "-o", tmp_path / "q.onnx")
    own = ("--metric", f"{tmp_path / 'mine.py'}:score", "--batch-size", CLASSES)
    said, _ = command(*asked, "--max-drop", 0.5, *own)
    lines = [line.split() for line in said.splitlines() if line[:1].isdigit()]
    assert [(lost, error) for *_, lost, error in lines] == [("0.00", "11.47")] * len(lines)
    assert "note: it may lose more than 0.5 on other images: these are too few to say, judge by more" in said
    assert lines[-1][0] == "8.00" and ": W8.0" in said
