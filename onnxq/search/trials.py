"""Quantize a variant, evaluate its file. A part of ``search``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxq.core.layers import Layer
from onnxq.core.statistics import Statistics
from onnxq.data.loader import Batch
from onnxq.evaluation.evaluate import Evaluation, evaluate
from onnxq.evaluation.metrics import DEFAULT
from onnxq.flow import quantize
from onnxq.graph.analysis import network_of
from onnxq.graph.conversion import to_graph
from onnxq.graph.model_files import load_model, save_model
from onnxq.graph.normalize import normalize
from onnxq.search.variants import Variant

AT_ONCE = 8  # files that are evaluated side by side


@dataclass(frozen=True)
class Trial:
    """What a variant scored.

    Attributes:
        widths: like W4A8, where it has the same for all layers. recipe: of its file, as JSON. Both are empty for the
            float network.
        result: of its file, beside the float one.
    """

    name: str
    widths: str
    recipe: str
    result: Evaluation


@dataclass(frozen=True)
class Trials:
    """How variants of one network are tried.

    Attributes:
        path: the float model. statistics: of it; None for weights only.
        batches: to evaluate on; gone through once for each ``AT_ONCE`` variants. metrics: names of metrics.
        progress: called after each batch with the number of its images.
    """

    path: Path
    statistics: Statistics | None
    batches: Iterable[Batch]
    metrics: Sequence[str] = DEFAULT
    provider: str = "auto"
    progress: Callable[[int], None] | None = None

    def run(self, variants: Sequence[Variant]) -> Iterator[Trial]:
        """The float network first, then the variants, as results come.

        Raises:
            OnnxqError: see ``onnxq.quantize`` and ``onnxq.evaluate``.
        """
        model = load_model(self.path)
        for start in range(0, len(variants), AT_ONCE):
            group = variants[start : start + AT_ONCE]
            with tempfile.TemporaryDirectory() as folder:
                files = [Path(folder) / f"{number}.onnx" for number in range(len(group))]
                for file, variant in zip(files, group, strict=True):
                    save_model(quantize(model, self.statistics, variant.recipe, provider=self.provider).model, file)
                reference, *results = evaluate(
                    [self.path, *files],
                    self.batches,
                    metrics=self.metrics,
                    provider=self.provider,
                    progress=self.progress,
                )
            if start == 0:
                yield Trial("float", "", "", reference)
            for variant, result in zip(group, results, strict=True):
                yield Trial(variant.name, variant.widths, variant.recipe.to_json(), result)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the network, in execution order."""
        graph = to_graph(load_model(self.path))
        normalize(graph)
        return tuple(network_of(graph).layers)
