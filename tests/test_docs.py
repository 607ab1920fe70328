"""The code blocks of docs/architecture.md run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCKS = re.findall(r"```python\n(.*?)```", (DOCS / "architecture.md").read_text(), re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.findall(r"register\(.(.*?).\)", block)[0])
def test_blocks_of_the_architecture(block, tmp_path):
    """In a process of its own: what is registered stays registered."""
    (tmp_path / "block.py").write_text(f"from __future__ import annotations\n\n{block}")
    use = "import block, onnxq; from onnxq.clipping import CLIPPINGS; from onnxq.evaluation import METRICS"
    done = subprocess.run([sys.executable, "-c", use], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_there_are_blocks():
    assert len(BLOCKS) == 3
