"""All CPU benchmarks, one after the other: ``make bench``. Results and the machine go to build/benchmarks/ as JSON.

An hour or two on two cores; each script runs by itself as well.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from onnxq.runtime.environment import inspect_environment

HERE = Path(__file__).parent
SPEED = ("kernels", "calibration", "throughput", "quantizing", "node_times", "loading")
TESTBED = Path(os.environ.get("ONNXQ_TESTBED", HERE.parents[1] / "shared" / "testbed"))


def main() -> None:
    results = HERE.parent / "build" / "benchmarks"
    results.mkdir(parents=True, exist_ok=True)
    testbed = [str(TESTBED)] if TESTBED.is_dir() else []
    runs: list[tuple[str, list[str]]] = [(name, []) for name in SPEED]
    runs += [("integer", testbed)]
    for name in ("weight_error", "accuracy", "published", "formats"):
        runs += [(name, ["demo"]), *([(name, testbed)] if testbed else [])]
    machine = {
        "date": datetime.date.today().isoformat(),
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "versions": inspect_environment().versions,
    }
    (results / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")
    for name, arguments in runs:
        report = results / f"{name}{'-demo' if arguments == ['demo'] else ''}.json"
        print(f"\n== {name} {' '.join(arguments)}", flush=True)
        subprocess.run([sys.executable, HERE / f"{name}.py", *arguments, "--json", report], check=True)


if __name__ == "__main__":
    main()
