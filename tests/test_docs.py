"""What README and docs show: commands and Python run as they stand, on stand-ins for the files that they name; links
lead somewhere; workflows call targets that there are."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from cli.test_cli import onnxq as command
from helpers import parse, small_network

from onnxq_cli.main import COMMANDS, _group

ROOT = Path(__file__).parents[1]
PAGES = [
    *(
        ROOT / name
        for name in (
            "README.md",
            "CONTRIBUTING.md",
            "SECURITY.md",
            "examples/README.md",
            "models/README.md",
            "fuzz/README.md",
        )
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
NETWORKS = ("net", "model", "resnet50", "vgg16", "mobilenet_v2")
FOLDERS = ("photos", "images", "train", "imagenet/train", "imagenet/val")
# What takes a download, an hour, a cluster or somebody's own files: these commands are read, and not run.
READ_ONLY = ("export ", "demo", "--engine ray", "import-apot", "--task ", "detector", "lines", "rec.")


def text_of(page: Path) -> str:
    return page.read_text()


def commands_of(page: Path) -> list[str]:
    """Lines of code blocks that call onnxq, without comments, alternatives in brackets, and continued."""
    text = text_of(page).replace("\\\n", " ")
    found = re.findall(r"^(?:    |\$ )(onnxq .*?)(?:\s+#.*|\s+\[--.*)?$", text, re.M)
    return [re.sub(r"\s+", " ", line) for line in found]


def blocks_of(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text_of(page), re.S)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


WITH_COMMANDS = [page for page in PAGES if commands_of(page)]
WITH_PYTHON = [page for page in PAGES if blocks_of(page, "python")]


def network() -> onnx.ModelProto:
    """Of images of any height and width, and large enough for a tenth of its bytes to be a file."""
    random = np.random.default_rng(0)
    shapes = {"w1": (32, 3, 3, 3), "w2": (96, 32, 3, 3), "w3": (96, 96, 3, 3), "w4": (5, 96), "b4": (5,)}
    model = parse(
        """net (float[batch,3,h,w] input) => (float[batch,5] logits) {
            a = Conv <pads = [1,1,1,1], strides = [2,2]> (input, w1)
            ra = Relu (a)
            b = Conv <pads = [1,1,1,1], strides = [2,2]> (ra, w2)
            rb = Relu (b)
            c = Conv <pads = [1,1,1,1]> (rb, w3)
            rc = Relu (c)
            g = GlobalAveragePool (rc)
            f = Flatten (g)
            logits = Gemm <transB = 1> (f, w4, b4)
        }""",
        {name: (random.standard_normal(shape) * 0.1).astype(np.float32) for name, shape in shapes.items()},
    )
    model.metadata_props.extend(small_network().metadata_props)
    return model


@pytest.fixture
def place(tmp_path, small_data, monkeypatch):
    """A folder with what the pages name."""
    folder = tmp_path / "place"
    for name in FOLDERS:
        shutil.copytree(small_data, folder / name)
    for name in NETWORKS:
        onnx.save(network(), folder / f"{name}.onnx")
    monkeypatch.chdir(folder)
    return folder


def prepare(line: str, place: Path, placement: str = "inputs") -> None:
    """Make what a line reads and nobody has made."""
    words = shlex.split(line)
    read = [word for place_, word in enumerate(words) if words[place_ - 1] not in ("-o", "--sensitivity")]
    for word in read:
        path = place / word
        if path.exists():
            continue
        if word.endswith(".stats.npz"):
            command(
                "calibrate",
                word.replace(".stats.npz", ".onnx"),
                "--data",
                "images",
                "--placement",
                placement,
                "-o",
                word,
            )
        elif re.fullmatch(r".*\.w\d+a\d+\.onnx", word):
            source = f"{word.split('.')[0]}.onnx"
            command("quantize", source, "--data", "images", "--weight-bits", 4, "--act-bits", 8, "-o", word)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands(page, place):
    """Each has options that there are; those that can run do, in the order of the page."""
    for block in blocks_of(page, "yaml"):
        (place / "SWEEP.yaml").write_text(block)
    for block in re.findall(r"(?:^    .*: .*\n)+", text_of(page), re.M):
        if "weight:" in block:
            (place / "thresholds.yaml").write_text("'*': {weight: 3.0, activation: 6.0}\n")
    for line in commands_of(page):
        words = shlex.split(line)[1:]
        name = words[0]
        assert name in COMMANDS, line
        context = click.Context(_group)
        asked = _group.get_command(context, name)
        assert asked is not None
        with contextlib.suppress(click.exceptions.Exit):
            asked.make_context(name, words[1:], parent=context)
        if any(part in line for part in READ_ONLY):
            continue
        prepare(line, place, "outputs" if "aciq-paper" in text_of(page) else "inputs")
        command(*words)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python(page, place):
    """All blocks of a page, one behind the other, in a process of its own: what is registered stays registered."""
    if "resnet50.w4a4.onnx" in text_of(page):
        prepare("onnxq show resnet50.w4a4.onnx", place)
    if "net.w4a8.onnx" in text_of(page):
        prepare("onnxq show net.w4a8.onnx", place)
    (place / "block.py").write_text("\n\n".join(blocks_of(page, "python")))
    done = subprocess.run([sys.executable, "block.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_there_are_blocks():
    assert len(WITH_PYTHON) >= 6 and sum(len(commands_of(page)) for page in WITH_COMMANDS) >= 55


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page):
    """To files and headings of this checkout."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text_of(page)):
        path, _, heading = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if heading:
            headings = [re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-")
                        for line in re.findall(r"^#+ (.*)$", found.read_text(), re.M)]  # fmt: skip
            assert heading in headings, target


def test_every_page_is_in_the_site():
    index = text_of(ROOT / "docs" / "index.md")
    listed = set(re.findall(r"^([\w/-]+)$", index, re.M))
    folders = {line.removesuffix("/*") for line in re.findall(r"^[\w/]+/\*$", index, re.M)}
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert name in listed or name.rpartition("/")[0] in folders or name == "index", name


def test_workflows_call_targets():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    called = {
        target
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for target in re.findall(r"run: make ([a-z-]+)", path.read_text())
    }
    assert {"lint", "test", "docs", "lowest", "fuzz"} <= called <= targets
