"""Everything that is to be shown on an NVIDIA GPU: correctness, speed of kernels, whole networks.

    python benchmarks/gpu.py --out DIR [--testbed DIR] [--only STEP ...]
    python benchmarks/gpu.py --dry-run

Writes DIR/gpu.json and DIR/gpu.txt, after every step anew. A step that fails is recorded with its error, the others go
on, and the exit code is 1. ``--provider cpu --small`` runs all of it on the CPU provider with small sizes: that shows
that the command works, and no more.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_correctness
import gpu_networks
import gpu_speed
from gpu_setting import Setting, kernels_once

from onnxq.errors import OnnxqError
from onnxq.runtime.environment import inspect_environment
from onnxq.runtime.library import has_cuda_kernels
from onnxq.runtime.providers import resolve_provider

HERE = Path(__file__).parent


def machine(setting: Setting) -> tuple[dict[str, Any], str]:
    """Device, driver, versions, date, commit."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,compute_cap", "--format=csv,noheader"]
    try:
        gpu = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        gpu = "none"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    facts = inspect_environment()
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit or os.environ.get("ONNXQ_COMMIT", "unknown"),
        "gpu": gpu,
        "provider": setting.provider,
        "versions": facts.versions,
        "library": str(facts.library),
        "kernels": list(facts.kernels),
    }
    return report, "\n".join(f"{name}: {value}" for name, value in report.items())


@dataclass(frozen=True)
class Step:
    """What it shows, and how: a function that returns its part of the report, and the same as text."""

    shows: str
    run: Callable[[Setting], tuple[Any, str]]


STEPS = {
    "machine": Step("device, driver, versions, date, commit", machine),
    "tests": Step("the operators' tests, which run every kernel against numpy, bit for bit", gpu_correctness.tests),
    "sanitizer": Step("compute-sanitizer: memcheck, racecheck, initcheck, synccheck", gpu_correctness.sanitizer),
    "large": Step("a tensor of more than 2^31 values", gpu_correctness.large),
    "capture": Step("the same logits from a captured CUDA graph", gpu_correctness.capture),
    "bandwidth": Step("each kernel from 1 MB to 4 GB: copy, function body, Q/DQ pair in one run", gpu_speed.bandwidth),
    "networks": Step("calibrate, quantize and run networks: speed, placement, logits", gpu_networks.networks),
    "testbed": Step("accuracy of the testbed on CUDA beside the CPU provider", gpu_networks.testbed),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for gpu.json and gpu.txt")
    parser.add_argument("--testbed", type=Path, help="as for accuracy.py")
    parser.add_argument("--only", nargs="*", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--provider", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="small sizes")
    parser.add_argument("--dry-run", action="store_true", help="list the steps and what is missing here")
    parser.add_argument("--kernels-once", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    setting = Setting(args.provider, args.small, args.testbed)
    if args.dry_run:
        for name, step in STEPS.items():
            print(f"{name:10} {step.shows}")
        for problem in setting.missing():
            print(f"- {problem}")
        return
    try:
        resolve_provider(args.provider)
    except OnnxqError as error:
        sys.exit(f"error: {error}")
    if args.provider == "cuda" and not has_cuda_kernels():
        sys.exit("error: the native library has no CUDA kernels; reinstall where nvcc can be found (see `onnxq info`)")
    if args.kernels_once:
        kernels_once(setting)
        return
    if args.out is None:
        parser.error("give --out DIR, or --dry-run")
    args.out.mkdir(parents=True, exist_ok=True)
    sys.exit(run_steps(setting, args.only, args.out))


def run_steps(setting: Setting, names: list[str], out: Path) -> int:
    """Run steps and write what they report; 1 if one failed."""
    report: dict[str, Any] = {}
    text = ""
    failed = False
    for name in names:
        started = time.perf_counter()
        try:
            report[name], shown = STEPS[name].run(setting)
        except Exception:  # a lent machine is not to be lost to one step
            report[name], shown = {"error": traceback.format_exc()}, traceback.format_exc()
        failed |= isinstance(report[name], dict) and ("error" in report[name] or report[name].get("passed") is False)
        text += f"\n== {name}: {STEPS[name].shows} ({time.perf_counter() - started:.0f} s)\n\n{shown}\n"
        print(text.rsplit("\n== ", 1)[-1], flush=True)
        (out / "gpu.json").write_text(json.dumps(report, indent=2) + "\n")
        (out / "gpu.txt").write_text(text.lstrip())
    return int(failed)


if __name__ == "__main__":
    main()
