"""onnxq quantize"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import onnxq
from onnxq.core.files import size_text
from onnxq.core.statistics import Statistics
from onnxq.data.feeds import FeedLoader
from onnxq.data.loader import Loader
from onnxq.data.preprocessing import Preprocessing
from onnxq.evaluation import METRICS
from onnxq.flow import passes_of
from onnxq.graph.model_files import save_model
from onnxq.recipe.files import load_recipe, load_yaml
from onnxq.recipe.flat import OPTIONS
from onnxq.recipe.flat_parts import LIMITS
from onnxq.recipe.steps import BUDGET, STEPS
from onnxq.refine.held_back import not_held_back
from onnxq_cli.budget import GO_WITH_DROP, Drop, budget_options, chosen_widths, within_drop
from onnxq_cli.common import (
    IMAGE_OPTIONS,
    check_outputs,
    chosen_preprocessing,
    image_options,
    make_loader,
    options,
    printable,
    progress,
    provider_option,
    report_skipped,
    write_preprocessing,
)
from onnxq_cli.tracking import track_option, tracking
from onnxq_cli.words import OPTIONS as WORDS
from onnxq_cli.words import in_options


class Bits(click.FloatRange):
    """From 2 to 16; whole numbers are int, as in Python, so that files are the same."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        bits = float(super().convert(value, param, ctx))
        return int(bits) if bits.is_integer() else bits


BITS = Bits(2, 16)


def bits_or_none(value: str) -> float | str:
    """A number of bits, or the word none."""
    return value if value == "none" else BITS.convert(value, None, None)


def choice(field: str) -> click.Choice[str]:
    """The values that a field of a recipe may take."""
    return click.Choice(OPTIONS[field]())


recipe_options = options(
    click.option("--recipe", metavar="NAME|FILE", help="Where the other options start from; see `onnxq recipes`."),
    click.option(
        "--scheme",
        type=choice("scheme"),
        help="How activation ranges are chosen.  [default: mse with --data, else aciq]",
    ),
    click.option("--bits", type=BITS, help="Of weights and activations, the mean over channels.  [default: 4]"),
    click.option(
        "--act-bits",
        type=bits_or_none,
        metavar="BITS|none",
        help="Of activations, where it differs; none: weights only.",
    ),
    click.option("--weight-bits", type=BITS, help="Of weights, where it differs."),
    click.option(
        "--edge-bits",
        type=click.IntRange(2, 16),
        help="Of the first and the last layer.  [default: 8; weights for onnxruntime: 7 and 5]",
    ),
    click.option(
        "--act-granularity",
        type=choice("act_granularity"),
        help="[default: per-channel; per-tensor for integer kernels]",
    ),
    click.option("--weight-granularity", type=choice("weight_granularity"), help="[default: per-channel]"),
    click.option(
        "--bit-alloc", type=choice("bit_alloc"), help="What gets bits per channel.  [default: both; none with qdq]"
    ),
    click.option("--weights", type=choice("weights"), help="The grid of weights.  [default: that of the scheme]"),
    click.option(
        "--weight-correction",
        type=choice("weight_correction"),
        help="What is restored in each channel of quantized weights.  [default: mean; none with qdq]",
    ),
    click.option(
        "--bias-correction",
        type=choice("bias_correction"),
        help="What biases are corrected by, with weights rounded to the nearest: the calibration statistics, or a pass "
        "over images (--data); outputs: the outputs of layers, where quantizers sit there.  "
        "[default: statistics; gptq has its own]",
    ),
    click.option(
        "--placement",
        type=choice("placement"),
        help="Quantizers at the inputs of layers, at their outputs, at the inputs of ReLU and pooling too, behind "
        "every arithmetic operator, or around what has integer kernels.  [default: where the statistics were taken]",
    ),
    click.option("--ranges", type=choice("ranges"), help="From calibration or from each batch.  [default: static]"),
    click.option(
        "--skip",
        multiple=True,
        metavar="PATTERN",
        help="Leave layers in float whose name, or that of what they make or of their weight, is this; repeatable.",
    ),
    click.option(
        "--guard/--no-guard",
        default=None,
        help="Leave layers in float that make boxes of a Softmax (heads of detectors).  [default: guard]",
    ),
    click.option("--std-multiplier", type=float, help="k of --scheme std.  [default: 2]"),
    click.option("--percentile", type=float, help="Share kept by --scheme percentile.  [default: 99.99]"),
    click.option(
        "--moving-average", is_flag=True, default=None, help="Percentiles averaged over batches (see calibrate)."
    ),
    click.option(
        "--symmetric/--asymmetric", default=None, help="Narrow symmetric ranges.  [default: only --scheme histogram]"
    ),
    click.option(
        "--alpha", "alpha_file", metavar="FILE", help="Thresholds of apot and pot by layer (YAML; docs/schemes)."
    ),
    click.option("--overflow-rate", type=float, help="Share of values that fixed point may cut off.  [default: 0]"),
    click.option(
        "--rounding",
        type=choice("rounding"),
        help="Of weights: nearest, or gptq, by what layers make of --data; of fixed-point activations: half_even, "
        "half_up or floor.  [default: gptq with --data, else nearest; half_even]",
    ),
    click.option("--overflow", type=choice("overflow"), help="Of fixed-point activations.  [default: saturate]"),
    click.option(
        "--bit-true", is_flag=True, default=None, help="Fixed-point convolutions round every product and sum."
    ),
    click.option(
        "--renormalize",
        is_flag=True,
        default=None,
        help="Match the mean and variance of convolution outputs to the float network's, on images (--data).",
    ),
    click.option(
        "--reconstruct",
        is_flag=True,
        default=None,
        help="Learn scales and biases besides, from images (--data); needs torch, and minutes.",
    ),
    click.option("--budget-seconds", type=float, help="Time to learn, at most.  [default: 300]"),
    click.option("--published", is_flag=True, default=None, help="The published ACIQ arithmetic, for comparison."),
    click.option(
        "--format",
        type=choice("format"),
        help="onnxq operators and packed weights, or standard QuantizeLinear/DequantizeLinear.  [default: onnxq]",
    ),
    click.option(
        "--target",
        type=choice("target"),
        help="Who is to run the file. onnxruntime, arm: its integer kernels on x86 and on ARM; openvino, qnn and "
        "tensorrt: --bits 8.",
    ),
)


@click.command("quantize")
@click.argument("model")
@click.option(
    "--stats",
    metavar="FILE",
    help="Statistics of this model, from `onnxq calibrate`; without, --data is calibrated on; weights alone need none.",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="The quantized ONNX file to write.")
@recipe_options
@budget_options
@click.option("--data", metavar="SOURCE", help="Images to calibrate and to round weights on, as in `onnxq calibrate`.")
@click.option("-n", "--images", type=click.IntRange(1), default=256, show_default=True, help="How many of them.")
@image_options
@provider_option
@track_option
def command(
    model: str,
    stats: str | None,
    output: str,
    recipe: str | None,
    bits: float | None,
    alpha_file: str | None,
    data: str | None,
    images: int,
    provider: str,
    track: str | None,
    max_drop: float | None,
    sensitivity: str | None,
    **fields: Any,
) -> None:
    """Quantize MODEL.

    \b
    onnxq quantize resnet50.onnx --data photos --bits 4 -o resnet50.w4a4.onnx
    onnxq quantize resnet50.onnx --stats resnet50.stats.npz --bits 4 -o resnet50.w4a4.onnx
    onnxq quantize resnet50.onnx --stats resnet50.stats.npz --act-bits 8 --skip '*fc*' -o resnet50.w4a8.onnx
    onnxq quantize resnet50.onnx --stats resnet50.stats.npz --bits 5.3 -o resnet50.w5a5.onnx
    onnxq quantize resnet50.onnx --stats resnet50.stats.npz --weights apot -o resnet50.apot.onnx
    onnxq quantize resnet50.onnx --weight-bits 4 --act-bits none -o resnet50.w4.onnx
    onnxq quantize resnet50.onnx --data photos --act-bits 8 --size 12MB -o resnet50.12mb.onnx
    onnxq quantize resnet50.onnx --data imagenet/train --act-bits 8 --max-drop 1 -o resnet50.small.onnx
    """
    with_drop = {name: fields.pop(name) for name in GO_WITH_DROP}
    read = [stats, data, alpha_file, recipe, fields["classes"], sensitivity, with_drop["metric"], with_drop["test"]]
    check_outputs(output, models=[model], inputs=read)
    if max_drop is None and (lonely := [name for name, value in with_drop.items() if value is not None]):
        raise click.UsageError(f"--{lonely[0]} goes with --max-drop")
    if max_drop is not None and (data is None or any(fields[name] is not None for name in LIMITS)):
        raise click.UsageError("--max-drop needs --data, and none of " + ", ".join(WORDS[name] for name in LIMITS))
    loading = {name: fields.pop(name) for name in IMAGE_OPTIONS}
    if bits is not None:
        fields = {**fields, **{name: fields[name] or bits for name in ("act_bits", "weight_bits")}}
    if alpha_file is not None:
        fields["alpha"] = load_yaml(alpha_file)
    if max_drop is None:
        fields["sensitivity"] = sensitivity
    given = {name: value for name, value in fields.items() if value is not None and value != ()}
    if given.get("act_bits") == "none":
        given["act_bits"] = None
    statistics = Statistics.load(stats) if stats is not None else None
    asked = load_recipe(recipe, **given) if recipe is not None else onnxq.Recipe.of(**given)
    for name in asked.metrics:
        METRICS.parse(name)
    loader = None
    if data is not None:
        loader = make_loader(model, data, "calib", images, provider, statistics=statistics, **loading)
        preprocessing = loader.applied
    else:
        preprocessing = chosen_preprocessing(model, onnxq.load_model(model), loading["preset"], statistics)
    is_budget = max_drop is not None or any(STEPS.name_of(step) == BUDGET for step in asked.steps or ())
    if is_budget and given.get("weight_bits") is not None:
        click.echo("note: a budget chooses bits of weights: --weight-bits says nothing of them", err=True)
    passes = passes_of(asked, statistics, has_images=loader is not None)
    with tracking(track, f"quantize {Path(output).name}") as run:
        run.parameters({"model": model, "data": data, "statistics": stats, "recipe": asked.to_json()})
        if max_drop is not None and loader is not None and data is not None:
            drop = Drop(max_drop, data, stats, **with_drop)
            judging = drop.judging(model, provider, statistics, **loading)
            result = within_drop(drop, model, statistics, asked, loader, judging, sensitivity, provider)
        else:
            images_of = loader.images if loader is not None else None
            with _progress(loader, passes) as update:
                result = onnxq.quantize(model, statistics, asked, images=images_of, provider=provider, progress=update)
        if preprocessing not in (None, Preprocessing.from_metadata(onnxq.metadata(result.model))):
            write_preprocessing(result.model, preprocessing)
        before = result.float_bytes
        widths, share = chosen_widths(result) if is_budget else asked.widths, _share(result.share)
        save_model(result.model, output)
        after = Path(output).stat().st_size  # written in one file
        click.echo(
            f"{output}: {widths}, {len(result.plan.layers)} layers, {share} of the weights, "
            f"{size_text(after)} ({100 * after / before:.1f} % of {size_text(before)})"
        )
        if result.distances.images:
            way = ", ".join(f"{name} {distance:.4f}" for name, distance in result.distances.steps)
            click.echo(f"distance to float on {result.distances.images} images held back: {way}")
        for note in result.notes:
            click.echo(printable(f"note: {in_options(note, WORDS)}"))
        if loader is not None:
            report_skipped(loader)
        run.metrics({"bytes": after, "float_bytes": before, **dict(result.distances.steps)})
        run.artifact(output)


def _share(share: float) -> str:
    """In percent: all, or less than that."""
    return "all" if share == 1 else f"{min(100 * share, 99.9):.1f} %"


@contextmanager
def _progress(loader: Loader | FeedLoader | None, passes: int) -> Iterator[Callable[[int], None] | None]:
    """A progress bar over the images, if there are any."""
    if loader is None:
        yield None
        return
    with progress("measuring", passes * not_held_back(len(loader))) as update:
        yield update
