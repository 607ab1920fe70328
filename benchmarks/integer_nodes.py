"""Where the time of integer files goes: is there something to win by kernels of our own?

    python benchmarks/integer_nodes.py [--archs mobilenet_v2 ...] [--json FILE]

Milliseconds a batch of eight by kind of node, from ONNX Runtime's profiler; and how much faster the network would be
if the nodes of a kind took no time: the most that any kernel for them could win.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from onnx import helper
from timing import node_events, profiled, random_images, random_network

import onnxq
from onnxq.graph.model_files import load_model, save_model
from onnxq.recipe import Recipe
from onnxq.runtime.batches import on_device, run
from onnxq.runtime.sessions import make_session, session_options
from onnxq_cli.common import table

RUNS = 12
WIDTHS = (8, 4)  # of activations


def kinds_of(path: Path) -> dict[str, str]:
    """By the name of a convolution, what it is."""
    found = {}
    for node in load_model(path).graph.node:
        if node.op_type == "Conv":
            fields = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            sides = set(fields.get("kernel_shape", ()))
            plain = "1 x 1 convolutions" if sides == {1} else "larger convolutions"
            found[node.name] = "depthwise convolutions" if fields.get("group", 1) > 1 else plain
    return found


def kind_of(event: dict[str, Any], convolutions: dict[str, str]) -> str:
    """Convolutions by what they are, other nodes by their operator."""
    name, operator = str(event["name"]), str(event["args"]["op_name"])
    if "Conv" not in operator:
        return operator
    own = [each for each in convolutions if name.startswith(each)]
    return convolutions[max(own, key=len)] if own else operator


def times_of(path: Path, folder: Path) -> dict[str, float]:
    """Milliseconds a run of each kind, the largest first."""
    session = make_session(path, options=profiled(session_options(native=False), folder))
    images = on_device(random_images(8), session)
    for _ in range(RUNS):
        run(session, [output.name for output in session.get_outputs()], images)
    convolutions = kinds_of(path)
    times: Counter[str] = Counter()
    for event in node_events(session):
        times[kind_of(event, convolutions)] += event["dur"] / 1000 / RUNS
    return dict(times.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", nargs="*", default=["mobilenet_v2", "resnet50"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for arch in args.archs:
            model = random_network(arch, Path(folder))
            seen = onnxq.calibrate(model, [random_images(8)], provider="cpu", points="integer")
            report[arch] = {}
            for bits in WIDTHS:
                path = Path(folder) / "integer.onnx"
                recipe = Recipe.of(weight_bits=4, act_bits=bits, target="onnxruntime", rounding="nearest")
                save_model(onnxq.quantize(model, seen, recipe).model, path)
                times = report[arch][f"W4A{bits}"] = times_of(path, Path(folder))
                whole = sum(times.values())
                rows = [
                    [kind, f"{time:.1f}", f"{100 * time / whole:.0f} %", f"{whole / (whole - time):.2f}"]
                    for kind, time in times.items()
                    if time > 0.01 * whole
                ]
                heads = [f"{arch} W4A{bits}, batch 8", "ms", "share", "if it took no time"]
                print(f"\n{table(heads, [*rows, ['all', f'{whole:.1f}', '', '']])}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
