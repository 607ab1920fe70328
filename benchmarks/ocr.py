"""PP-OCRv4 (detector, recognizer, direction) as integer files, beside ONNX Runtime's quantize_static.

    pip download --no-deps rapidocr-onnxruntime && unzip rapidocr_onnxruntime-*.whl -d rapidocr
    python benchmarks/ocr.py rapidocr/rapidocr_onnxruntime/models [--bits 8] [--only rec] [--json FILE]

Lines of random letters and digits are drawn, half to calibrate on, half to test. Reported: images a second on stock
sessions, files in turns; of the recognizer also the share of characters at which its reading equals the float one's.
"""

from __future__ import annotations

import argparse
import difflib
import json
import string
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from integer import theirs
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod
from PIL import Image, ImageDraw, ImageFont
from timing import logits_of, ratio, throughput

import onnxq
from onnxq.graph.conversion import to_graph, to_model
from onnxq.graph.model_files import load_model, save_model
from onnxq.recipe import Recipe
from onnxq.runtime.sessions import make_session
from onnxq_cli.common import table

MODELS = {
    "det": ("ch_PP-OCRv4_det_infer.onnx", (320, 320), 8),
    "rec": ("ch_PP-OCRv4_rec_infer.onnx", (48, 320), 16),
    "cls": ("ch_ppocr_mobile_v2.0_cls_infer.onnx", (48, 192), 16),
}
LETTERS = string.ascii_letters + string.digits
LINES = 512
BATCH = 8


def drawn(size: tuple[int, int], count: int, seed: int) -> NDArray[np.float32]:
    """Pictures with lines of text, float32 [count, 3, height, width] from -1 to 1."""
    random = np.random.default_rng(seed)
    height, width = size
    pictures = np.empty((count, 3, height, width), np.float32)
    for index in range(count):
        back, ink = random.integers(150, 256, 3), random.integers(0, 100, 3)
        picture = Image.new("RGB", (width, height), tuple(map(int, back)))
        draw = ImageDraw.Draw(picture)
        for top in range(4, height - 40, 60) if height > 60 else [height // 2 - 18]:
            font = ImageFont.load_default(size=int(random.integers(22, 34)))
            text = "".join(random.choice(list(LETTERS), int(random.integers(6, 16))))
            draw.text((int(random.integers(2, 12)), top + int(random.integers(0, 5))), text, tuple(map(int, ink)), font)
        noisy = np.asarray(picture, np.float32) + random.normal(0, random.uniform(0, 12), (height, width, 3))
        pictures[index] = (np.clip(noisy, 0, 255) / 127.5 - 1).transpose(2, 0, 1)
    return pictures


def readings(path: Path, pictures: NDArray[np.float32]) -> list[list[int]]:
    """Characters by the greedy rule of CTC: repeats once, blanks (0) left out."""
    session = make_session(path, native=False)
    found = []
    for start in range(0, len(pictures), BATCH):
        for line in logits_of(session, pictures[start : start + BATCH]).argmax(axis=2):
            kept = [int(code) for place, code in enumerate(line) if code and (place == 0 or code != line[place - 1])]
            found.append(kept)
    return found


def equal_share(wanted: list[list[int]], got: list[list[int]]) -> float:
    """Percent of the wanted characters that are found in order."""
    same = sum(
        sum(block.size for block in difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())
        for a, b in zip(wanted, got, strict=True)
    )
    return 100 * same / sum(map(len, wanted))


def measure(name: str, models: Path, folder: Path, bits: int, turns: int) -> dict[str, Any]:
    """Rows of one network."""
    file, size, count = MODELS[name]
    model, source = folder / "model.onnx", load_model(models / file)
    save_model(to_model(to_graph(source), source), model)  # of opset 21: quantize_static needs 13 for weights a channel
    pictures = drawn(size, LINES if name == "rec" else 2 * count, seed=0)
    calibration, tests = pictures[: len(pictures) // 2], pictures[len(pictures) // 2 :]
    batches = [calibration[start : start + BATCH] for start in range(0, len(calibration), BATCH)]
    files = {"float": model, "onnxq": folder / "ours.onnx"}
    recipe = Recipe.of(weight_bits=bits, act_bits=8, target="onnxruntime")
    begun = time.perf_counter()
    save_model(onnxq.quantize(model, None, recipe, images=batches, provider="cpu").model, files["onnxq"])
    seconds = time.perf_counter() - begun
    other = folder / "theirs.onnx"
    files["quantize_static"] = theirs(model, other, batches, CalibrationMethod.MinMax, symbolic_shapes=False)
    rates = throughput(files, tests[:BATCH], turns, native=False)
    wanted = readings(model, tests) if name == "rec" else []
    found: dict[str, Any] = {"quantize_seconds": seconds}
    for label, path in files.items():
        checked = onnxq.check(path)
        found[label] = {
            "bytes": path.stat().st_size,
            "images_per_second": rates[label],
            "by_float": ratio(rates, label, "float"),
            "by_quantize_static": ratio(rates, label, "quantize_static"),
            "in_float": {layer.name: f"{layer.op}: {layer.why}" for layer in checked.in_float},
            "layers": len(checked.layers),
            "others": dict(checked.others),
            **({"characters": equal_share(wanted, readings(path, tests))} if name == "rec" else {}),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--bits", type=int, default=8, help="of weights")
    parser.add_argument("--only", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    ort.set_default_logger_severity(3)
    report, rows = {}, []
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            report[name] = measure(name, args.models, Path(folder), args.bits, args.turns)
        rows += [
            [
                f"{name} {label}",
                f"{row['bytes'] / 1e6:.2f} MB",
                f"{row['by_float']:.2f}",
                f"{row['by_quantize_static']:.2f}",
                f"{row['layers'] - len(row['in_float'])} of {row['layers']}",
                ", ".join(f"{op} {count}" for op, count in row["others"].items()),
                f"{row['characters']:.1f} %" if "characters" in row else "",
            ]
            for label, row in report[name].items()
            if isinstance(row, dict)
        ]
    print(table(["", "size", "/ float", "/ theirs", "integer layers", "others in float", "characters"], rows))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
