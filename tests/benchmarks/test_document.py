"""Tables of README and docs are those of the results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "document.py"


def test_pages_are_up_to_date():
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    tables = [(ROOT / page).read_text().count("<!-- end -->") for page in ("README.md", "docs/benchmarks.md")]
    assert tables == [1, 2]
