"""What widths of the weights and the input of each layer do to what a network makes. A ground type: measured by
``refine``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onnxq.core.files import replacing
from onnxq.errors import OnnxqError, first_line

VERSION = 2


@dataclass(frozen=True)
class LayerSensitivity:
    """Of one layer.

    Attributes:
        name, op: of the node. weights: how many values. products: multiplications an image.
        effects: width -> expected |y - y^|^2 of the network's outputs, relative to their variance over images, where
            this layer alone has weights of that width.
        reads: width -> the same where its input alone has that width; empty where that is in float, or has ranges of
            each batch.
    """

    name: str
    op: str
    weights: int
    products: int
    effects: Mapping[int, float]
    reads: Mapping[int, float] = field(default_factory=dict)

    def effect(self, bits: float) -> float:
        """Of a width between those measured: effects shrink by a constant factor a bit."""
        low, high = min(self.effects), max(self.effects)
        below = min(max(int(bits), low), high)
        above, part = min(below + 1, high), bits - below
        if part <= 0 or self.effects[below] <= 0 or self.effects[above] <= 0:
            return float(self.effects[below])
        return float(self.effects[below] ** (1 - part) * self.effects[above] ** part)


@dataclass(frozen=True)
class Sensitivity:
    """Of a network.

    Attributes:
        layers: in execution order. images: seen. source: fingerprint of the float model.
        made_for: the format of weights and their rounding.
    """

    layers: tuple[LayerSensitivity, ...]
    images: int
    source: str
    made_for: str = ""

    def predicted(self, widths: Mapping[str, float]) -> float:
        """The effect of all layers together, which add up while they are small; layers not named are in float."""
        return sum(layer.effect(widths[layer.name]) for layer in self.layers if layer.name in widths)

    def save(self, path: str | Path) -> None:
        """As JSON.

        Raises:
            OnnxqError: it cannot be written.
        """
        content = {"onnxq_sensitivity": VERSION, **asdict(self)}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")

    @staticmethod
    def load(path: str | Path) -> Sensitivity:
        """The inverse of ``save``.

        Raises:
            OnnxqError: the file cannot be read, or is none of these.
        """
        try:
            content: Any = json.loads(Path(path).read_text())
            if content["onnxq_sensitivity"] != VERSION:
                raise OnnxqError(f"{path}: sensitivities of another version of onnxq; measure again")
            layers = tuple(_layer(entry) for entry in content["layers"])
            found = Sensitivity(layers, int(content["images"]), str(content["source"]), str(content["made_for"]))
        except OSError as error:
            raise OnnxqError(f"{path}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise OnnxqError(
                f"{path}: no sensitivities, which `onnxq search --sensitivity` writes ({first_line(error)})"
            ) from error
        if not layers or any(not layer.effects for layer in layers):
            raise OnnxqError(f"{path}: no layers in it")
        return found


def _layer(entry: Mapping[str, Any]) -> LayerSensitivity:
    effects, reads = ({int(bits): float(each) for bits, each in entry[name].items()} for name in ("effects", "reads"))
    if not all(0 <= effect < float("inf") for effect in (*effects.values(), *reads.values())):
        raise ValueError("an effect is no positive number")
    return LayerSensitivity(
        str(entry["name"]), str(entry["op"]), int(entry["weights"]), int(entry["products"]), effects, reads
    )


def by_effect(layers: Sequence[LayerSensitivity], bits: int) -> list[LayerSensitivity]:
    """Those that matter most at a width first."""
    return sorted(layers, key=lambda layer: -layer.effect(bits))
