"""Where does the time go? Milliseconds a batch by operator, from ONNX Runtime's profiler.

python benchmarks/node_times.py [--archs resnet50 ...] [--json FILE]

Of the float network, of the network that calibration runs, and of the simulated W4A4 file. ReorderInput and
ReorderOutput are ONNX Runtime's own: it keeps tensors in blocks of channels for its convolutions, and gives operators
that it does not know the usual layout. The last column is without those blocks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnxruntime as ort
from timing import node_events, profiled, random_images, random_network

import onnxq
from onnxq.graph.model_files import load_model, save_model
from onnxq.observe.calibrate import observation_graph
from onnxq.recipe import POINTS, Recipe
from onnxq.runtime.batches import on_device, run
from onnxq.runtime.graph_session import graph_session
from onnxq.runtime.sessions import make_session, session_options
from onnxq_cli.common import table

RUNS = 6


def node_times(make: Callable[[ort.SessionOptions], ort.InferenceSession], folder: Path) -> dict[str, float]:
    """Milliseconds a run of each operator type, the largest first."""
    session = make(profiled(session_options(), folder))
    images = on_device(random_images(8), session)
    for _ in range(RUNS):
        run(session, [output.name for output in session.get_outputs()], images)
    times: Counter[str] = Counter()
    for event in node_events(session):
        times[event["args"]["op_name"]] += event["dur"] / 1000 / RUNS
    return dict(times.most_common())


def measure(arch: str, folder: Path) -> dict[str, dict[str, float]]:
    """The three networks of one architecture, the last one twice."""
    model = random_network(arch, folder)
    seen = onnxq.calibrate(model, [random_images(8)], provider="cpu")
    quantized = folder / f"{arch}.w4a4.onnx"
    save_model(onnxq.quantize(model, seen, Recipe.of()).model, quantized)
    source = load_model(model)
    observed, _, _ = observation_graph(source, POINTS.parse("inputs"))

    def without_blocks(options: ort.SessionOptions) -> ort.InferenceSession:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED  # all but layouts
        return make_session(quantized, options=options)

    return {
        "float": node_times(lambda options: make_session(model, options=options), folder),
        "observed": node_times(lambda options: graph_session(observed, source, "cpu", options=options), folder),
        "W4A4": node_times(lambda options: make_session(quantized, options=options), folder),
        "W4A4 without": node_times(without_blocks, folder),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", nargs="*", default=["resnet50", "mobilenet_v2"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for arch in args.archs:
            report[arch] = measure(arch, Path(folder))
            operators = list(dict.fromkeys(name for times in report[arch].values() for name in times))
            rows = [
                [name, *(f"{times[name]:.1f}" if name in times else "" for times in report[arch].values())]
                for name in operators
            ]
            rows.append(["all", *(f"{sum(times.values()):.1f}" for times in report[arch].values())])
            print(f"\n{table([f'{arch}, batch 8, ms', *report[arch]], rows)}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
