"""Call the native operators with hostile attributes and shapes, in this process: for builds with sanitizers.

    make sanitize                                       some cases, under ASan and UBSan
    python fuzz/operators.py [--cases 1000] [--seed N]

A case passes where the operator computes or refuses; a sanitizer ends the process where it does not.
"""

from __future__ import annotations

import argparse
import random
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from damage import FLOATS, NUMBERS
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from onnxq.core.operator_call import DOMAIN
from onnxq.operators import VERSION
from onnxq.runtime.sessions import session_options

MOST_VALUES = 2**24  # of an output: larger ones are ONNX Runtime's to refuse, and fatal under a sanitizer
LARGEST = 2**31 - 1


def _array(chance: random.Random, rank: int | None = None) -> NDArray[np.float32]:
    shape = [chance.choice((0, 1, 1, 2, 3, 5, 8)) for _ in range(chance.randrange(6) if rank is None else rank)]
    values = np.random.default_rng(chance.randrange(2**32)).standard_normal(shape).astype(np.float32)
    if values.size and chance.random() < 0.5:
        values.reshape(-1)[chance.randrange(values.size)] = chance.choice(FLOATS)
    return values


def _integers(chance: random.Random, count: int) -> NDArray[np.int32]:
    numbers = [number for number in NUMBERS if abs(number) <= LARGEST] + [-LARGEST - 1, 4, 5]
    return np.array([chance.choice(numbers) for _ in range(count)], np.int32)


def case_of(chance: random.Random) -> tuple[str, dict[str, NDArray[Any]], dict[str, Any], list[str]]:
    """An operator, its inputs, attributes and outputs."""
    name = chance.choice(
        ("FakeQuantize", "FakeQuantizeMidTread", "FakeQuantizeCodebook", "FakeQuantizeFixedPoint", "Observe")
    )
    if chance.random() < 0.5:
        name = "FixedPointConv"
    small = {
        "total_bits": chance.choice((2, 8, 16, 17, -1)),
        "rounding": chance.choice((0, 1, 2, 3)),
        "overflow": chance.choice((0, 1)),
    }
    x = _array(chance)
    match name:
        case "FakeQuantize":
            inputs = {"x": x, "scale": _array(chance, 1), "zero_point": _array(chance, 1), "bits": _integers(chance, 1)}
            return name, inputs, {}, ["y"]
        case "FakeQuantizeMidTread":
            return (
                name,
                {"x": x, "scale": _array(chance, 1), "first": _array(chance, 1), "last": _array(chance, 1)},
                {},
                ["y"],
            )
        case "FakeQuantizeCodebook":
            return name, {"x": x, "scale": _array(chance, 1), "levels": np.sort(_array(chance, 1))}, {}, ["y"]
        case "FakeQuantizeFixedPoint":
            return name, {"x": x, "fraction_bits": _integers(chance, chance.choice((1, 3)))}, small, ["y"]
        case "Observe":
            return name, {"x": x}, {}, ["minimum", "maximum", "sum", "sum_squares", "histogram"]
    channels, group, rows = chance.choice((1, 2)), chance.choice((1, 2, 3)), chance.choice((1, 2, 6))
    weight = np.ones((rows * group, channels, chance.choice((1, 2, 3)), chance.choice((1, 3))), np.float32)
    x = np.ones(
        (chance.choice((0, 1, 2)), channels * group, chance.choice((0, 1, 7)), chance.choice((0, 1, 9))), np.float32
    )
    inputs = {
        "x": x if chance.random() < 0.9 else _array(chance),
        "w": weight,
        "bias": np.zeros(rows * group, np.float32),
        "fraction_bits": _integers(chance, chance.choice((1, rows * group))),
    }

    def numbers(count: int, usual: tuple[int, ...]) -> list[int]:
        return [chance.choice(NUMBERS if chance.random() < 0.3 else usual) for _ in range(count)]

    attributes = {
        "strides": numbers(2, (1, 2)), "pads": numbers(4, (0, 1, 2)), "dilations": numbers(2, (1, 2, 3)),
        "group": group if chance.random() < 0.9 else chance.choice(NUMBERS), **small,
    }  # fmt: skip
    return name, inputs, attributes, ["y"]


def is_huge(inputs: dict[str, NDArray[Any]], attributes: dict[str, Any]) -> bool:
    """Whether the convolution's output would be a valid one that no test has memory for."""
    if "pads" not in attributes:
        return False
    sizes = [
        (inputs["x"].shape[d + 2] if inputs["x"].ndim > d + 2 else 1)
        + attributes["pads"][d]
        + attributes["pads"][d + 2]
        for d in (0, 1)
    ]
    room = [max(size, 0) // max(stride, 1) + 1 for size, stride in zip(sizes, attributes["strides"], strict=True)]
    return room[0] * room[1] > MOST_VALUES


def run(chance: random.Random) -> bool:
    """Whether a case was computed; refused otherwise."""
    name, inputs, attributes, outputs = case_of(chance)
    if is_huge(inputs, attributes):
        return False
    node = helper.make_node(name, list(inputs), outputs, domain=DOMAIN, **attributes)
    kinds = {"histogram": TensorProto.INT32, "sum": TensorProto.DOUBLE, "sum_squares": TensorProto.DOUBLE}
    makes = [helper.make_tensor_value_info(each, kinds.get(each, TensorProto.FLOAT), None) for each in outputs]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * inputs["x"].ndim)
    constants = [numpy_helper.from_array(values, key) for key, values in inputs.items() if key != "x"]
    graph = helper.make_graph([node], "one", [x], makes, constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, VERSION)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = session_options(native=True)
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        session.run(None, {"x": inputs["x"]})
    except Exception as error:  # refused: onnxruntime's own family of errors
        assert type(error).__module__.startswith("onnxruntime"), error
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    computed = sum(run(random.Random(f"{args.seed} {case}")) for case in range(args.cases))
    print(f"{args.cases} cases of seed {args.seed}: {computed} computed, {args.cases - computed} refused")


if __name__ == "__main__":
    main()
