"""onnxq preprocess"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from onnxq.data.fitting import FITS
from onnxq.data.preprocessing import COLORS, LAYOUTS, Preprocessing
from onnxq.data.presets import PRESETS
from onnxq.errors import OnnxqError
from onnxq.graph.model_files import input_shape, load_model, metadata, save_model
from onnxq_cli.common import check_outputs, write_preprocessing


@click.command("preprocess")
@click.argument("model")
@click.option("-o", "--output", metavar="FILE", help="The same model, which says how.  [default: show what MODEL says]")
@click.option(
    "--preset", type=click.Choice(list(PRESETS)), help="Where the other options start from.  [default: imagenet]"
)
@click.option("--resize", metavar="N|HxW|none", help="In pixels.")
@click.option(
    "--fit",
    type=click.Choice(list(FITS)),
    help="What becomes that size: the short side, both sides, all of the image within, the height.",
)
@click.option("--crop", metavar="N|none", help="Side of the crop in the middle.")
@click.option("--scale", metavar="X|1/X", help="What pixels of 0 to 255 are multiplied by first.")
@click.option("--mean", metavar="X[,X,X]", help="Subtracted from that.")
@click.option("--std", metavar="X[,X,X]", help="What that is divided by.")
@click.option("--interpolation", type=click.Choice(["bilinear", "bicubic"]))
@click.option("--color", type=click.Choice(COLORS), help="Order of channels.")
@click.option("--layout", type=click.Choice(LAYOUTS), help="Of what the model reads.")
def command(model: str, output: str | None, preset: str | None, **given: Any) -> None:
    """Say in MODEL how images become its input; the other commands, and files quantized from it, follow.

    \b
    onnxq preprocess net.onnx --preset timm -o net.ready.onnx
    onnxq preprocess detector.onnx --fit letterbox --resize 640 --mean 0 --std 1 --color bgr -o detector.ready.onnx
    """
    check_outputs(output, models=[model])
    network = load_model(model)
    known = Preprocessing.from_metadata(metadata(network))
    start = PRESETS[preset] if preset else known or PRESETS["imagenet"]
    asked = {name: value for name, value in given.items() if value is not None}
    if output is None:
        if preset or asked:
            raise click.UsageError("-o FILE is missing: where the model goes that says so")
        click.echo(str(known) if known is not None else f"{model} does not say how to preprocess images")
        return
    channels = _channels(input_shape(network), asked.get("layout", start.layout)) or start.input_size[0]
    if channels != start.input_size[0]:
        mean, std = (sum(values) / len(values) for values in (start.mean, start.std))
        start = replace(
            start, input_size=(channels, *start.input_size[1:]), mean=(mean,) * channels, std=(std,) * channels
        )
    for name in asked:
        if name in READERS:
            asked[name] = READERS[name](asked[name], f"--{name} {asked[name]}")
    for name in ("mean", "std"):
        if len(asked.get(name, ())) == 1:
            asked[name] = asked[name] * channels
    if FITS[asked.get("fit", start.fit)].frames:
        resize = asked.get("resize", start.resize)
        asked["resize"] = (resize, resize) if isinstance(resize, int) else resize
        asked.setdefault("crop", None)
    wanted = replace(start, **asked).checked()
    shape = input_shape(network)
    if given["resize"] is None:
        wanted = wanted.for_shape(shape)
    _check_size(model, shape, wanted)
    made = wanted.for_shape(shape)
    side = made.crop or made.resize
    height, width = side if isinstance(side, tuple) else (side, side)
    if height is not None and width is not None:
        made = replace(made, input_size=(channels, height, width))
    write_preprocessing(network, made)
    save_model(network, output)
    click.echo(f"{output}: {made}")


def _check_size(model: str, shape: list[int | None], made: Preprocessing) -> None:
    """Whether images become of the size that a network fixes; where nothing is said of sizes, they come as they are."""
    fixed = made.fixed_by(shape)
    if fixed == (None, None) or (made.crop is None and made.resize is None):
        return
    if made.size == (None, None):
        raise OnnxqError(
            f"{model} takes images of {_text(fixed)} pixels, but only their short side is said: give --crop or --fit"
        )
    if any(None not in pair and pair[0] != pair[1] for pair in zip(fixed, made.size, strict=True)):
        raise OnnxqError(
            f"{model} takes images of {_text(fixed)} pixels, these would be {_text(made.size)}: mend --resize, --crop "
            "or --fit"
        )


def _text(size: tuple[int | None, int | None]) -> str:
    return "x".join("any" if side is None else str(side) for side in size)


def _channels(shape: list[int | None], layout: str) -> int | None:
    """Of the input of a network, where it says so."""
    return (shape[1] if layout == "nchw" else shape[3]) if len(shape) == 4 else None


def _size(text: str, what: str) -> int | tuple[int, int] | None:
    if text == "none":
        return None
    parts = text.split("x")
    if not all(part.isascii() and part.isdigit() for part in parts) or len(parts) > 2:
        raise OnnxqError(f"{what}: a number of pixels, HxW, or none")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def _side(text: str, what: str) -> int | None:
    size = _size(text, what)
    if isinstance(size, tuple):
        raise OnnxqError(f"{what}: a number of pixels, or none")
    return size


def _number(text: str, what: str) -> float:
    above, _, below = text.partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError) as error:
        raise OnnxqError(f"{what}: a number, or one over another, like 1/255") from error


def _numbers(text: str, what: str) -> tuple[float, ...]:
    return tuple(_number(part, what) for part in text.split(","))


READERS: dict[str, Any] = {"resize": _size, "crop": _side, "scale": _number, "mean": _numbers, "std": _numbers}
