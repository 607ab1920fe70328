"""onnxq demo"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

import onnxq
from onnxq.core.files import replacing
from onnxq.data.demo.models import DEMO_MODELS, bundled_model
from onnxq.errors import OnnxqError
from onnxq.flow import passes_of
from onnxq.graph.model_files import save_model
from onnxq.recipe import Recipe
from onnxq.refine.held_back import not_held_back
from onnxq_cli.common import json_option, make_loader, progress, provider_option, write_json
from onnxq_cli.eval import results_table

PLAIN: dict[str, Any] = {"bit_alloc": "none", "weight_correction": "none", "bias_correction": "none"}
RECIPES = {
    "int8": Recipe.of(act_bits=8, weight_bits=7, target="onnxruntime", rounding="nearest"),
    "w4a8": Recipe.of(act_bits=8, weight_bits=4, target="onnxruntime"),
    "w4a4-naive": Recipe.of("minmax", act_granularity="per-tensor", **PLAIN),
    "w4a4-aciq": Recipe.of("aciq-laplace", **PLAIN),
    "w4a4-nearest": Recipe.of(rounding="nearest"),
    "w4a4": Recipe.of(),
}
CALIBRATION_IMAGES = 256
POINTS_OF_ALL = "integer"  # whose statistics are good for the others too
LEGEND = """\
int8          integer kernels of ONNX Runtime; weights of 7 bits, which are exact on every processor
w4a8          the same kernels, weights of 4 bits
w4a4-naive    simulated in float: 4 bits, the full range of each tensor
w4a4-aciq     activations clipped by ACIQ for Laplace, a range a channel
w4a4-nearest  the best prior a channel, bits a channel, corrected weights and biases
w4a4          and weights rounded by what layers make of images, as in w4a8"""


@click.command("demo")
@click.option("-o", "--output-dir", type=click.Path(file_okay=False, path_type=Path), help="Keep the files here.")
@click.option("-n", "--images", type=click.IntRange(1), default=1000, show_default=True, help="Test images.")
@provider_option
@json_option
def command(output_dir: Path | None, images: int, provider: str, json_path: str | None) -> None:
    """Calibrate, quantize and evaluate the bundled models on the procedural data set.

    \b
    onnxq demo -o demo
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = output_dir or Path(scratch)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OnnxqError(f"cannot make the folder {folder}: {error.strerror}") from error
        report: list[dict[str, object]] = []
        for name in DEMO_MODELS:
            source = folder / f"{name.removeprefix('demo_')}.onnx"
            _copy(bundled_model(name), source)
            files = [source, *_quantize(source, provider)]
            loader = make_loader(str(source), "demo", "test", images, provider, batch_size=50)
            with progress("evaluating", len(loader)) as update:
                results = onnxq.evaluate(files, loader, provider=provider, progress=update)
            click.echo(f"\n{name.removeprefix('demo_')}: {results[0].images} drawn test images of 60 classes\n")
            click.echo(results_table(results, folder))
            report.extend(result.to_json() for result in results)
        click.echo(f"\n{LEGEND}")
        click.echo(f"\nThe files are in {output_dir}." if output_dir else "\nKeep the files with: onnxq demo -o DIR")
        write_json(json_path, {"models": report})


def _copy(bundled: Path, target: Path) -> None:
    """Put a bundled model into the folder, unless another file has its name."""
    content = bundled.read_bytes()
    others = [target.with_suffix(f".{label}.onnx") for label in RECIPES]
    if (target.exists() and target.read_bytes() != content) or (not target.exists() and any(map(Path.exists, others))):
        raise OnnxqError(f"{target} is there already, and not the demo's: give another folder")
    with replacing(target) as temporary:
        temporary.write_bytes(content)


def _quantize(source: Path, provider: str) -> list[Path]:
    """Calibrate a model and write one file for each recipe."""
    loader = make_loader(str(source), "demo", "calib", CALIBRATION_IMAGES, provider, batch_size=32)
    with progress("calibrating", len(loader)) as update:
        statistics = onnxq.calibrate(source, loader.images, provider=provider, points=POINTS_OF_ALL, progress=update)
    files = []
    for label, recipe in RECIPES.items():
        files.append(source.with_suffix(f".{label}.onnx"))
        with progress(
            f"quantizing {label}", passes_of(recipe, statistics, has_images=True) * not_held_back(len(loader))
        ) as update:
            result = onnxq.quantize(
                source, statistics, recipe, images=loader.images, provider=provider, progress=update
            )
        save_model(result.model, files[-1])
    return files
