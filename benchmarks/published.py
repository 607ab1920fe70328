"""The recipes that come with onnxq, on networks at hand.

    python benchmarks/published.py TESTBED [--json FILE]
    python benchmarks/published.py demo

TESTBED as in accuracy.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from networks import report

from onnxq.recipe.files import load_recipe, recipe_names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of the testbed, or demo")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    report(args.source, {name: load_recipe(name) for name in recipe_names()}, ("inputs", "outputs"), args.json)


if __name__ == "__main__":
    main()
