"""Who may import whom; and that what decides needs numpy alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import onnxq

PACKAGE = Path(onnxq.__file__).parent
GROUND = {"errors", "_version"}
DECIDING = {"core", "formats", "clipping", "allocation", "recipe", "decide"}
# Each folder with what it may import beside itself, from the ground up. ``recipe.steps`` looks its steps up in
# ``refine`` by name, when one is asked for: that is the one way upwards, and no import.
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "formats": {"core"},
    "clipping": {"core", "formats"},
    "allocation": {"core"},
    "recipe": {"core", "formats", "clipping", "allocation"},
    "decide": DECIDING - {"decide"},
    "operators": {"core", "formats"},
    "graph": {"core", "operators"},
    "data": {"core"},
    "runtime": {"core", "formats", "graph", "operators"},
    "observe": {"core", "recipe", "graph", "operators", "runtime"},
    "rewrite": {"core", "formats", "graph", "operators"},
    "rounding": {"core", "formats"},
    "reconstruction": {"core", "operators"},
    "refine": {
        "core",
        "formats",
        "recipe",
        "decide",
        "rounding",
        "reconstruction",
        "graph",
        "runtime",
        "rewrite",
        "allocation",
    },
    "evaluation": {"core", "formats", "recipe", "graph", "operators", "runtime", "data"},
    "inspection": {"core", "recipe", "graph", "operators", "runtime"},
    "comparison": {"core", "graph", "inspection", "runtime"},
    "export": {"core", "formats", "graph", "data", "rewrite"},
    "search": {"core", "data", "recipe", "graph", "evaluation", "flow"},
    "figures": {"core", "formats", "allocation", "recipe", "decide", "graph"},
    "report": {"core", "data", "recipe", "graph", "observe", "inspection", "comparison", "evaluation", "runtime"},
    "flow": {"core", "decide", "recipe", "graph", "observe", "operators", "refine", "rewrite", "runtime"},
}
HEAVY = {"onnx", "onnxruntime", "onnx_graphsurgeon", "torch", "torchvision"}


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def files_of(part: str) -> list[Path]:
    folder = PACKAGE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{part}.py"]


def test_every_part_has_a_rule():
    parts = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    parts |= {path.stem for path in PACKAGE.glob("*.py")} - GROUND - {"__init__"}
    assert parts == set(ALLOWED)


@pytest.mark.parametrize("part", ALLOWED)
def test_nothing_imports_upwards(part):
    found = set()
    for path in files_of(part):
        parts = {name.split(".")[1] for name in imports_of(path) if name.startswith("onnxq.")}
        assert parts <= ALLOWED[part] | {part} | GROUND, path
        assert "onnxq" not in imports_of(path), f"{path}: what it needs has a file of its own"
        found |= parts
    assert found - {part} - GROUND == ALLOWED[part], "allowed, and not made use of"


def test_the_map_says_so():
    """The table of docs/architecture.md has each part, with what it imports."""
    page = Path(__file__).parents[1] / "docs" / "architecture.md"
    rows = [line.split("|") for line in page.read_text().splitlines() if line.startswith("| `")]
    said = {row[1].strip(" `/").removesuffix(".py"): set(re.findall(r"`([a-z]+)`", row[3])) for row in rows}
    assert said == ALLOWED


@pytest.mark.parametrize("part", sorted(DECIDING))
def test_what_decides_names_no_onnx(part):
    for path in files_of(part):
        assert not {name.split(".")[0] for name in imports_of(path)} & HEAVY, path


def run_without(blocked: set[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code where these packages cannot be imported."""
    block = f"import sys\nfor name in {sorted(blocked)}: sys.modules[name] = None\n"
    return subprocess.run([sys.executable, "-c", block + code], capture_output=True, text=True)


def test_what_decides_imports_with_numpy_alone():
    done = run_without(
        HEAVY | {"sklearn", "PIL", "click"}, f"import {', '.join(f'onnxq.{p}' for p in sorted(DECIDING))}"
    )
    assert done.returncode == 0, done.stderr


def test_importing_onnxq_needs_no_torch_and_nothing_else():
    done = run_without(HEAVY, "import onnxq; onnxq.Recipe.of('percentile', act_bits=5); print(onnxq.__version__)")
    assert done.returncode == 0, done.stderr
    done = run_without({"torch", "torchvision"}, "import onnxq; onnxq.quantize, onnxq.evaluate, onnxq.calibrate")
    assert done.returncode == 0, done.stderr


def test_files_are_short_and_say_what_they_are():
    files = [path for path in PACKAGE.rglob("*.py") if path.read_text().strip()]
    lengths = sorted(len(path.read_text().splitlines()) for path in files)
    assert lengths[-1] <= 300
    assert lengths[len(lengths) // 2] < 80
    assert [path for path in files if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_recipes_are_read_in_few_places():
    """Decisions are the recipe's own: outside of it hardly anybody asks."""
    reads = [
        f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}"
        for path in PACKAGE.rglob("*.py")
        if "recipe" not in path.relative_to(PACKAGE).parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "recipe"
    ]
    assert 0 < len(reads) < 20, reads
