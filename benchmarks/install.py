"""A wheel and README's first command in a new environment, as a newcomer has them: seconds, and bytes on disk.

    python benchmarks/install.py dist/onnxq-*.whl [--extra cpu] [--json FILE]

Downloads count; pip's cache is not used.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(*command: str | Path) -> float:
    """Of a command that must succeed, whose PATH has no compiler, and that sees no ONNX Runtime but its own."""
    before = time.perf_counter()
    environment = {"HOME": os.environ["HOME"], "PATH": str(Path(command[0]).parent)}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
    return time.perf_counter() - before


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--extra", default="cpu")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "venv")
        made = seconds(sys.executable, "-m", "venv", folder)
        wheel = f"{given.wheel.resolve()}[{given.extra}]"
        installed = seconds(folder / "bin" / "pip", "install", "--quiet", "--no-cache-dir", wheel)
        result = {
            "wheel": given.wheel.name,
            "extra": given.extra,
            "environment_seconds": made,
            "install_seconds": installed,
            "demo_seconds": seconds(folder / "bin" / "onnxq", "demo"),
            "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        }
    text = json.dumps(result, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
