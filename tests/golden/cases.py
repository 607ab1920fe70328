"""The files whose digests are kept: every bundled recipe and the combinations of fields of the flow tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from helpers import images, parse, small_network
from test_flow import COMBINATIONS

import onnxq
from onnxq.data.demo.models import bundled_model
from onnxq.data.loader import Loader, choose
from onnxq.data.preprocessing import Preprocessing
from onnxq.graph.model_files import load_model
from onnxq.recipe import POINTS, Recipe
from onnxq.recipe.files import load_recipe, recipe_names

PLACEMENTS = POINTS.names()
RULES = (
    *("aciq", "aciq-laplace", "aciq-gauss", "minmax", "mse", "entropy", "percentile", "histogram", "std", "mid-tread"),
    *("apot", "pot", "fixed-point"),
)  # a list of their own: digests are not for everybody who adds one
INTEGER: dict[str, Any] = {"act_bits": 8, "weight_bits": 8, "format": "qdq", "placement": "integer"}
SCHEMES = [
    {"scheme": scheme, "act_bits": 3, "weight_bits": 5, "act_granularity": granularity}
    | ({} if scheme == "mid-tread" else {"weight_granularity": granularity})
    for scheme in RULES
    for granularity in ("per-channel", "per-tensor")
]
STANDARD = [
    *({"format": "qdq", "act_bits": bits, "weight_bits": bits} for bits in (2, 3, 4, 8)),
    {"format": "qdq", "placement": "outputs", "act_granularity": "per-tensor"},
    *({**INTEGER, "scheme": scheme} for scheme in ("aciq", "minmax", "mse", "percentile", "entropy", "std")),
    {**INTEGER, "bias_correction": "none"},
    {**INTEGER, "renormalize": True},
    {**INTEGER, "target": "tensorrt"},
    {**INTEGER, "target": "tensorrt", "placement": "inputs"},
]
OTHERS = [
    {"skip": ("Gemm*",)},
    {"edge_bits": 4},
    {"published": True},
    {"published": True, "scheme": "std", "bit_alloc": "both"},
    {"published": True, "scheme": "aciq-gauss", "act_bits": 3},
    {"published": True, "scheme": "mid-tread", "act_bits": 5.3, "weight_bits": 5.3},
    {"published": True, "scheme": "fixed-point", "act_bits": 8, "weight_bits": 8},
    {"published": True, "scheme": "aciq-laplace", "ranges": "dynamic"},
    {"scheme": "fixed-point", "act_bits": 12, "weight_bits": 12, "placement": "every-op", "bit_true": True},
    {"placement": "every-op", "scheme": "mse", "act_granularity": "per-tensor"},
    {"scheme": "percentile", "percentile": 99.0, "symmetric": True},
    {"scheme": "std", "std_multiplier": 3.0},
    {"weights": "kmeans", "bias_correction": "images", "renormalize": True},
]
ON_DEMO = [INTEGER, {**INTEGER, "target": "tensorrt"}, {"renormalize": True}, {"placement": "every-op"}]


def branches() -> onnx.ModelProto:
    """Grouped and strided convolutions, shared weights and tensors, Concat, Slice, Pad, Sigmoid and Mul."""
    random = np.random.default_rng(5)

    def normal(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.4).astype(np.float32)

    return parse(
        """branches (float[batch,3,8,8] input) => (float[batch,6] logits) {
            a = Conv <pads = [1,1,1,1]> (input, w1, b1)
            ra = Relu (a)
            b = Conv <pads = [1,1,1,1], group = 6> (ra, wd, bd)
            rd = Clip (b, zero, six)
            e = Conv (ra, w2, b2)
            f = Conv (rd, w2, b2)
            s = Sigmoid (e)
            m = Mul (s, f)
            c = Concat <axis = 1> (m, ra)
            h = Slice (c, start, end, axes, steps)
            p = Pad (h, pads)
            q = Conv <strides = [2,2]> (p, w3)
            l = LeakyRelu (q)
            g = ReduceMean (l, plane)
            k = Flatten (g)
            logits = Gemm (k, w4, b4)
        }""",
        {
            "w1": normal(6, 3, 3, 3), "b1": normal(6), "wd": normal(6, 1, 3, 3), "bd": normal(6),
            "w2": normal(6, 6, 1, 1), "b2": normal(6), "w3": normal(8, 12, 3, 3), "w4": normal(8, 6), "b4": normal(6),
            "zero": np.float32(0), "six": np.float32(6), "start": np.int64([0, 0]), "end": np.int64([8, 8]),
            "axes": np.int64([2, 3]), "steps": np.int64([1, 1]), "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
            "plane": np.int64([2, 3]),
        },
    )  # fmt: skip


def demo_batches() -> list[np.ndarray]:
    """Thirty-two images of the demo data set."""
    dataset = onnxq.open_dataset("demo", "calib")
    preprocessing = Preprocessing((3, 64, 64), None, None, (0.45,) * 3, (0.25,) * 3)
    return [batch.images for batch in Loader(dataset, preprocessing, choose(len(dataset), 32), 16)]


def points_of(recipe: Recipe) -> str:
    """Where a recipe has its quantizers."""
    return POINTS.name_of(recipe.resolved_points)


def files() -> Iterator[tuple[str, onnx.ModelProto]]:
    """A name for each file, and the file."""
    small = [images(16, seed=seed) for seed in range(4)]
    bundled = {name: load_recipe(name) for name in recipe_names()}
    written = {str(fields): Recipe.of(**fields) for fields in (*SCHEMES, *COMBINATIONS, *STANDARD, *OTHERS)}
    on_demo = {str(fields): Recipe.of(**fields) for fields in ON_DEMO}
    for label, model, batches, recipes in (
        ("small", small_network(), small, {**bundled, **written}),
        ("branches", branches(), small, {**bundled, **written}),
        ("demo", load_model(bundled_model("demo_mobilenet_v2")), demo_batches(), {**bundled, **on_demo}),
    ):
        needed = {points_of(recipe) for recipe in recipes.values()}
        statistics = {
            points: onnxq.calibrate(model, batches, points=points, moving_percentile=99.99, provider="cpu")
            for points in PLACEMENTS
            if points in needed
        }
        for name, recipe in recipes.items():
            seen = statistics[points_of(recipe)]
            given = batches[:2] if recipe.steps is not None else None
            recipe = replace(recipe, rounding="nearest")  # what gptq makes depends on the processor
            yield (
                f"{label}: {name}",
                onnxq.quantize(model, seen, recipe, images=given, hold_back=0, provider="cpu").model,
            )
