"""Detectors as integer files: SQNR of every output, beside ONNX Runtime's quantize_static.

    pip download --no-deps ddddocr && unzip ddddocr-*.whl -d ddddocr
    python benchmarks/detectors.py [--yolox ddddocr/ddddocr/common_det.onnx] [--images 64] [--json FILE]

Outputs are those of the files as they are written, operator by operator: fused kernels saturate on some processors.

Measured: the YOLOX detector of that package on pictures of shapes and words, half to calibrate on, half to test; and
torchvision's ssdlite320 with random weights and random statistics of batch norm (its published weights are not here),
on the same pictures. Files: quantize_static (QDQ, per channel, MinMax), onnxq's W8A8 and W4A8 for integer kernels, and
in its own operators, where each channel has a range of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import torch
import torchvision
from integer import theirs
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod
from PIL import Image, ImageDraw, ImageFont

import onnxq
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq.runtime.sessions import make_session
from onnxq_cli.common import table

WORDS = ("exit", "stop", "open", "7 km", "42", "sale", "taxi", "bus")
OPSET = 18  # quantize_static writes files that ONNX Runtime cannot load of a model before 13


def pictures(count: int, size: int, seed: int) -> list[NDArray[np.float32]]:
    """Batches of one picture with shapes and words, float32 [1, 3, size, size] from 0 to 255."""
    random = np.random.default_rng(seed)
    batches = []
    for _ in range(count):
        picture = Image.new("RGB", (size, size), tuple(map(int, random.integers(100, 256, 3))))
        draw = ImageDraw.Draw(picture)
        for _ in range(6):
            left, top, width, height = (int(value) for value in random.integers(8, size // 2, 4))
            draw.ellipse((left, top, left + width, top + height), fill=tuple(map(int, random.integers(0, 256, 3))))
        for _ in range(int(random.integers(2, 6))):
            left, top = (int(value) for value in random.integers(0, size - 80, 2))
            font = ImageFont.load_default(size=int(random.integers(20, 60)))
            draw.text(
                (left, top), str(random.choice(WORDS)), fill=tuple(map(int, random.integers(0, 100, 3))), font=font
            )
        noisy = np.asarray(picture, np.float32) + random.normal(0, random.uniform(0, 12), (size, size, 3))
        batches.append(np.clip(noisy, 0, 255).astype(np.float32).transpose(2, 0, 1)[None].copy())
    return batches


class Heads(torch.nn.Module):
    """What a torchvision detector computes of a batch before boxes are chosen."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Class logits and box offsets of all anchors."""
        found = self.head(list(self.backbone(x / 127.5 - 1).values()))
        return found["cls_logits"], found["bbox_regression"]


def ssdlite(path: Path) -> Path:
    """torchvision's ssdlite320, without weights; batch norm has seen the pictures."""
    torch.manual_seed(0)
    detector = torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    heads = Heads(detector).train()
    for module in heads.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain average
    with torch.no_grad():
        for batch in pictures(16, 320, seed=9):
            heads(torch.from_numpy(np.concatenate([batch, batch[..., ::-1]])))
    options: dict[str, Any] = {"opset_version": 18, "dynamo": True, "external_data": False, "verbose": False}
    options |= {"input_names": ["image"], "output_names": ["cls_logits", "bbox_regression"]}
    torch.onnx.export(heads.eval(), (torch.zeros(1, 3, 320, 320),), str(path), **options)
    return path


def measure(label: str, model: Path, size: int, images: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each file."""
    onnx.save(onnx.version_converter.convert_version(onnx.load(model), OPSET), folder / "float.onnx")
    model = folder / "float.onnx"
    seen, tests = pictures(images, size, seed=0), pictures(images // 2, size, seed=1)
    files = {
        "quantize_static W8A8": theirs(
            model, folder / "theirs.onnx", seen, CalibrationMethod.MinMax, symbolic_shapes=False
        )
    }
    spent = {}
    for target, said in (("onnxruntime", ""), ("onnxq", ", own operators")):
        for bits in (8, 4):
            name, started = f"onnxq W{bits}A8{said}", time.perf_counter()
            recipe = Recipe.of(target=target, weight_bits=bits, act_bits=8)
            files[name] = folder / f"{target}{bits}.onnx"
            save_model(onnxq.quantize(model, None, recipe, images=seen).model, files[name])
            spent[name] = time.perf_counter() - started
    exact = outputs_of(model, tests)
    rows = []
    for name in files:
        sqnr = {
            output: decibels(values, made)
            for (output, values), made in zip(exact.items(), outputs_of(files[name], tests).values(), strict=True)
        }
        rows.append(
            {
                "network": label,
                "file": name,
                "sqnr": sqnr,
                "bytes": files[name].stat().st_size,
                "seconds": spent.get(name),
            }
        )
    return rows


def outputs_of(path: Path, batches: list[NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    """All outputs of a file, by name, operator by operator."""
    options = onnxq.session_options()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = make_session(path, "cpu", options=options)
    names = [output.name for output in session.get_outputs()]
    made = [session.run(names, {session.get_inputs()[0].name: batch}) for batch in batches]
    return {
        name: np.concatenate([each.ravel() for each in parts]).astype(np.float64)
        for name, parts in zip(names, zip(*made, strict=True), strict=True)
    }


def decibels(exact: NDArray[np.float64], made: NDArray[np.float64]) -> float:
    """Signal to quantization noise."""
    return float(10 * np.log10(np.square(exact).sum() / np.square(made - exact).sum()))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yolox", type=Path)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.yolox is not None:
            rows += measure("YOLOX (ddddocr)", arguments.yolox, 416, arguments.images, folder)
        rows += measure("ssdlite320, random", ssdlite(folder / "ssdlite.onnx"), 320, arguments.images, folder)
    lines = [
        [
            row["network"],
            row["file"],
            *(f"{output} {value:.1f}" for output, value in row["sqnr"].items()),
            *[""] * (2 - len(row["sqnr"])),
        ]
        for row in rows
    ]
    print(table(["network", "file", "SQNR dB", ""], lines))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
