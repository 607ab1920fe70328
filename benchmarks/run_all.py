"""All CPU benchmarks, one after the other: ``make bench``. Results go to build/benchmarks/ as JSON."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TESTBED = Path(os.environ.get("ONNXQ_TESTBED", HERE.parents[1] / "shared" / "testbed"))


def main() -> None:
    results = HERE.parent / "build" / "benchmarks"
    results.mkdir(parents=True, exist_ok=True)
    runs = [("kernels", []), ("calibration", []), ("accuracy", ["demo"])]
    if TESTBED.is_dir():
        runs.append(("accuracy", [str(TESTBED)]))
    for name, arguments in runs:
        report = results / f"{name}{'-demo' if arguments == ['demo'] else ''}.json"
        print(f"\n== {name} {' '.join(arguments)}", flush=True)
        subprocess.run([sys.executable, HERE / f"{name}.py", *arguments, "--json", report], check=True)


if __name__ == "__main__":
    main()
