"""What the command line calls the fields that messages of the library name."""

from __future__ import annotations

import re
from collections.abc import Mapping

OPTIONS = {
    "activations.bits": "--act-bits",
    "activations.granularity": "--act-granularity",
    "activations.allocation": "--bit-alloc",
    "activations.format": "--scheme",
    "activations.clipping": "--scheme",
    "activations.dynamic": "--ranges",
    "weights.bits": "--weight-bits",
    "weights.granularity": "--weight-granularity",
    "weights.allocation": "--bit-alloc",
    "weights.format": "--weights",
    "weights.correction": "--weight-correction",
    "points": "--placement",
    "steps": "--bias-correction, --renormalize and --reconstruct",
    "reconstruct.seconds": "--budget-seconds",
    "statistics": "--stats",
    "images": "-n",
    "std.k": "--std-multiplier",
    "percentile.keep": "--percentile",
    "moving-percentile.keep": "--percentile",
    "fixed-point.overflow_rate": "--overflow-rate",
    "fixed-point.rounding": "--rounding",
    "fixed-point.overflow": "--overflow",
    "fixed-point.bit_true": "--bit-true",
    "apot.threshold": "--alpha",
    "std_multiplier": "--std-multiplier",
    "scheme": "--scheme",
    "guard": "--no-guard",
    "budget.size": "--size",
    "budget.size_ratio": "--size-ratio",
    "budget.bops_ratio": "--bops-ratio",
    "size": "--size",
    "size_ratio": "--size-ratio",
    "bops_ratio": "--bops-ratio",
    "sensitivity": "--sensitivity",
    "max_drop": "--max-drop",
    **{
        name: f"--{name.replace('_', '-')}"
        for name in (
            *("act_bits", "weight_bits", "edge_bits", "bit_alloc", "bit_true", "weight_correction", "bias_correction"),
            *("placement", "format", "target", "ranges", "rounding", "overflow", "alpha", "skip", "percentile"),
            *(
                "moving_average",
                "moving_percentile",
                "overflow_rate",
                "renormalize",
                "symmetric",
                "batch_size",
                "preset",
                "provider",
            ),
            *(
                "data",
                "classes",
                "cache",
                "workers",
                "skip_bad_images",
                "weights",
                "num_classes",
                "small_stem",
                "layer",
            ),
            *(
                "act_granularity",
                "weight_granularity",
                "metric",
                "task",
                "decode",
                "characters",
                "published",
                "reconstruct",
                "budget_seconds",
            ),
            *("csv", "append_line", "track", "arch", "bits", "batch_averages"),
        )
    },
}


def in_options(message: str, options: Mapping[str, str]) -> str:
    """A message of the library, its `fields` called as the command line calls them; one about a recipe file stays.

    >>> in_options("`act_bits` must be a number; `onnxq calibrate` again", {"act_bits": "--act-bits"})
    '--act-bits must be a number; `onnxq calibrate` again'
    """
    if message.startswith("recipe "):
        return message
    return re.sub(r"`([a-z0-9_.-]+)`", lambda found: options.get(found[1], found[0]), message)
