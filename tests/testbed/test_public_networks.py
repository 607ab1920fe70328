"""Networks that packages of the registry carry, downloaded by pip: only where ONNXQ_PUBLIC_NETWORKS asks for them."""

from __future__ import annotations

import os
import re
import string
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from cli.test_cli import onnxq as command
from PIL import Image, ImageDraw, ImageFont

pytestmark = pytest.mark.skipif(
    "ONNXQ_PUBLIC_NETWORKS" not in os.environ, reason="they are downloaded: ONNXQ_PUBLIC_NETWORKS=1"
)


@pytest.fixture
def recognizer(tmp_path):
    """PP-OCRv4's recognizer, from the package rapidocr-onnxruntime."""
    asked = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path), "rapidocr-onnxruntime"]
    subprocess.run(asked, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("rapidocr_onnxruntime-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("PP-OCRv4_rec_infer.onnx"))
        archive.extract(name, tmp_path)
    command("preprocess", tmp_path / name, "--preset", "paddleocr-rec", "-o", tmp_path / "rec.onnx")
    return tmp_path / "rec.onnx"


@pytest.fixture
def lines(tmp_path):
    """Words of letters and digits, and what they say."""
    random = np.random.default_rng(0)
    folder = tmp_path / "lines"
    folder.mkdir()
    rows = []
    for number in range(48):
        text = "".join(random.choice(list(string.ascii_letters + string.digits), int(random.integers(6, 14))))
        picture = Image.new("RGB", (320, 48), (230, 230, 230))
        ImageDraw.Draw(picture).text((6, 6), text, (20, 20, 20), font=ImageFont.load_default(size=30))
        picture.save(folder / f"{number}.png")
        rows.append(f"{number}.png\t{text}\n")
    (folder / "list.txt").write_text("".join(rows))
    return folder


def test_a_recognizer_reads_as_well_at_8_bits(recognizer, lines, tmp_path):
    asked = ["--target", "onnxruntime", "--act-bits", 8, "--weight-bits", 7, "-n", 48, "--batch-size", 1]
    command("quantize", recognizer, "--data", lines, *asked, "-o", tmp_path / "rec.w7a8.onnx")
    data = ["--data", lines / "list.txt", "--task", "ocr", "--batch-size", 1]
    said, _ = command("eval", recognizer, tmp_path / "rec.w7a8.onnx", *data)
    exact, own = (float(value) for value in re.findall(r"\.onnx +(\d+\.\d+) ", said))
    assert exact > 85 and own > exact - 3
