"""Text recognition: the greedy rule of CTC, edit distances, and a network that runs on files."""

from __future__ import annotations

import numpy as np
import pytest
from cli.test_cli import onnxq as command
from helpers import parse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from onnxq.data.annotations.text import Line, open_texts
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError
from onnxq.evaluation import METRICS
from onnxq.evaluation.metrics.text import edit_distance
from onnxq.graph.model_files import save_model, set_metadata

SHORT = st.text("ab ", max_size=6)


def plain_distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    replaced = plain_distance(a[1:], b[1:]) + (a[0] != b[0])
    return min(replaced, plain_distance(a[1:], b) + 1, plain_distance(a, b[1:]) + 1)


@given(SHORT, SHORT)
def test_edit_distance_is_that_of_its_definition(a, b):
    assert edit_distance(a, b) == plain_distance(a, b)


def read(codes, true, letters="a\nb", classes=4):
    metric = METRICS.parse("ocr")
    metric.start({"character": letters})
    metric.update([np.eye(classes, dtype=np.float32)[codes][None]], [], (Line(true),))
    return metric.result()


def test_repeats_count_once_and_blanks_part_them():
    assert read([1, 1, 0, 1, 2, 2, 0], "aab") == {"characters": 100, "lines": 100}
    assert read([1, 3, 2], "a b") == {"characters": 100, "lines": 100}  # a space behind the letters
    assert read([1, 0, 0], "ab") == {"characters": 50, "lines": 0}
    assert read([1, 2, 1, 2, 1, 2], "b") == {"characters": 0, "lines": 0}  # no less than nothing
    assert read([0, 1, 2], "ab", classes=3) == {"characters": 100, "lines": 100}
    assert read([1, 0, 2], "ab", letters="\ufeffa\r\nb".removeprefix("\ufeff")) == {"characters": 100, "lines": 100}


def test_other_outputs_and_alphabets_are_said(tmp_path):
    with pytest.raises(OnnxqError, match=r"6 classes, 2 `characters`"):
        read([0, 1], "a", classes=6)
    with pytest.raises(OnnxqError, match="needs the characters of the classes"):
        METRICS.parse("ocr").start({})
    with pytest.raises(OnnxqError, match="cannot be read"):
        METRICS.parse({"ocr": {"characters": str(tmp_path / "none.txt")}}).start({})
    metric = METRICS.parse("ocr")
    metric.start({"character": "a"})
    with pytest.raises(OnnxqError, match=r"expected \[images, steps, classes\]"):
        metric.update([np.zeros((1, 3))], [], (Line("a"),))


def lines(folder):
    """A letter every four columns: bright is b, dark is a."""
    texts = ["ab", "ba", "bb"] * 6
    for index, text in enumerate(texts):
        columns = np.repeat([40 if letter == "a" else 230 for letter in text], 4)
        Image.fromarray(np.tile(columns, (4, 1)).astype(np.uint8)).save(folder / f"{index}.png")
    (folder / "list.txt").write_text("".join(f"{index}.png\t{text}\n" for index, text in enumerate(texts)))
    return folder / "list.txt"


def test_damaged_lists(tmp_path):
    path = lines(tmp_path)
    with pytest.raises(OnnxqError, match=r"texts are read from a .txt list"):
        open_texts(str(tmp_path), "test")
    path.write_text("0.png\ta\u2028b\n\n1.png ba\n")
    with pytest.raises(OnnxqError, match="line 3: expected an image, a tab and its text"):
        open_texts(str(path), "test")
    path.write_text("99.png\tab\n")
    with pytest.raises(OnnxqError, match="is not there"):
        open_texts(str(path), "test")


def test_eval_of_a_recognizer(tmp_path):
    """Classes: blank, a, b; steps of two columns, the first of each letter a blank."""
    model = parse(
        """
        reads (float[N, 1, 4, W] image) => (float[N, T, 3] scores) {
            maps = Conv <strides = [4, 2]> (image, weight, bias)
            flat = Squeeze (maps, two)
            steps = Transpose <perm = [0, 2, 1]> (flat)
            scores = Add (steps, blanks)
        }
        """,
        {
            "weight": np.float32([0, -1 / 8, 1 / 8]).reshape(3, 1, 1, 1).repeat(4, 2).repeat(2, 3),
            "bias": np.float32([0, 0.5, -0.5]),
            "two": np.array([2]),
            "blanks": np.tile(np.float32([[9, 0, 0], [0, 0, 0]]), (2, 1)),
        },
    )
    facts = Preprocessing((1, 4, 8), (4, 8), None, (0.0,), (1.0,), fit="height").to_metadata()
    set_metadata(model, {**facts, "character": "a\nb"})
    save_model(model, tmp_path / "net.onnx")
    asked = ("eval", tmp_path / "net.onnx", "--data", lines(tmp_path), "--task", "ocr")
    said, _ = command(*asked)
    assert "characters %" in said and said.count("100.00") == 2
    (tmp_path / "letters.txt").write_text("x\ny\n")
    _, error = command(*asked, "--characters", tmp_path / "letters.txt", ok=False)
    assert "are these the --characters it was trained with" in error
