"""Write the tables of README and docs/benchmarks.md from results, between the comments that name them.

python benchmarks/document.py [--check]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")
NAMES = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "mobilenet_v2": "MobileNetV2",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "squeezenet1_0": "SqueezeNet 1.0",
    "resnet20_cifar10": "ResNet-20",
    "resnet56_cifar10": "ResNet-56",
    "demo_mobilenet_v2": "MobileNetV2",
}
DATA = {"cifar10": "CIFAR-10", "demo": "demo images"}
MEGA = 1e6


def read(path: str) -> Any:
    """Results of a file."""
    return json.loads((RESULTS / path).read_text())


def called(network: str) -> str:
    """A network and its images."""
    return f"{NAMES[network]}, {next((name for part, name in DATA.items() if part in network), 'ImageNet')}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def integer_speed() -> str:
    """Size, and throughput over float, of files for integer kernels."""
    speed = read("2026-11-25-integer/integer_speed.json")["speed"]
    accuracy = read("2026-11-25-integer/integer_accuracy.json")["accuracy"]
    rows = []
    for network in ("resnet18", "resnet50", "mobilenet_v2", "efficientnet_lite0"):
        files = speed[network]
        size = {name: f"{file['bytes'] / MEGA:.1f} MB" for name, file in files.items()}
        fast = {name: f"{size[name]}, {file['by_float']:.2f}" for name, file in files.items()}
        top1 = next((row for row in accuracy.get(network, []) if row["widths"] == "W4A8"), None)
        scores = f"{top1['float_top1']:.1f}, {top1['top1']:.1f}" if top1 else ""
        rows.append([NAMES[network], size["float"], fast["W4A8"], fast["W8A8"], fast["quantize_static"], scores])
    return table(["", "float", "W4A8", "int8", "`quantize_static`", "top-1: float, W4A8"], rows)


def integer_accuracy() -> str:
    """What integer files say, and how often otherwise than float."""
    rows = []
    for network, made in read("2026-11-25-integer/integer_accuracy.json")["accuracy"].items():
        by = {row["widths"]: row for row in made}
        low = [f"{by[widths]['top1']:.2f} / {by[widths]['differs']:.1f} %" for widths in ("W4A8", "W4A4")]
        eight, four = by["W8A8"], by["W4A8"]
        both = f"{eight['simulated_top1']:.2f}, {eight['top1']:.2f}"
        share = f"{four['bytes'] / four['float_bytes']:.3f}"
        rows.append(
            [
                called(network),
                f"{four['float_top1']:.2f}",
                *low,
                both,
                f"{four['differs_from_simulation']:.1f} %",
                share,
            ]
        )
    head = ["", "float", "W4A8", "W4A4", "int8: exact, here", "W4A8 against simulation", "W4A8 file / float"]
    return table(head, rows)


def rounding() -> str:
    """Top-1 and the share that differs, by widths and rounding; the mean over seeds."""
    results = read("2026-11-25-rounding/rounding.json")
    widths = ["W4A8", "W4A4", "W3A8", "W3A3", "W2A8", "W2A4", "W4", "W3", "W2"]
    rows = []
    for network, made in results.items():
        exact = next(row["float_top1"] for row in made if "float_top1" in row)
        for number, (method, label) in enumerate(
            (("nearest", "nearest"), ("gptq", "gptq"), ("gptq, reconstruct", "and reconstruct"))
        ):
            cells = []
            for width in widths:
                of_width = [row for row in made if row["widths"] == width]
                wanted = [row for row in of_width if row["method"] == method or
                          row["method"].startswith(f"{method}, seed ")]  # fmt: skip
                cells.append(
                    f"{mean(row['top1'] for row in wanted):.1f} / {mean(row['differs'] for row in wanted):.1f} %"
                    if wanted
                    else ""
                )
            rows.append([f"{called(network)}, {exact:.2f}" if number == 0 else "", label, *cells])
    return table(["", "", *widths], rows)


TABLES: dict[str, Callable[[], str]] = {
    "integer-speed": integer_speed,
    "integer-accuracy": integer_accuracy,
    "rounding": rounding,
}


def documented(text: str) -> str:
    """A page with its tables written anew."""

    def written(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{TABLES[found[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- ([a-z0-9-]+) -->\n.*?<!-- end -->", written, text, flags=re.S)


def main() -> None:
    """Write, or say what would change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Write nothing; fail where a page is not up to date.")
    given = parser.parse_args()
    stale = [page for page in PAGES if documented(page.read_text()) != page.read_text()]
    for page in stale:
        if not given.check:
            page.write_text(documented(page.read_text()))
        print(
            f"{page.relative_to(ROOT)}: {'not up to date: python benchmarks/document.py' if given.check else 'written'}"
        )
    if given.check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
