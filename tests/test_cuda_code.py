"""What the CUDA compiler makes of the kernels: accesses of 16 bytes, no spilled registers, no divisions but those that
exactness needs, and no fused multiply-adds, which would round differently.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from sysconfig import get_path

import pytest

SOURCES = Path(__file__).parents[1] / "custom_ops"
PLACES = [
    os.environ.get("PATH", ""),
    f"{os.environ.get('CUDA_HOME', '')}/bin",
    f"{get_path('purelib')}/nvidia/cu13/bin",
]
NVCC = next(filter(None, (shutil.which("nvcc", path=place) for place in PLACES)), None)
REQUIRED = os.environ.get("ONNXQ_REQUIRE_CUDA") == "1"
FLAGS = ("-std=c++17", "-O3", "-fmad=false", "-arch=sm_90", "-Xptxas", "-v", "--keep")
ELEMENTWISE = ["fake_quantize", "fake_quantize_codebook", "fake_quantize_fixed_point"]  # mid-tread is like the first
KERNELS = [*ELEMENTWISE, "fixed_point_conv", "observe"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NVCC is None and not REQUIRED, reason="no CUDA compiler")]


@pytest.fixture(scope="module", params=KERNELS)
def compiled(request, tmp_path_factory) -> tuple[str, dict[str, str], str]:
    """Of an operator: its folder's name, the PTX of its kernels by their (mangled) names, what ptxas says of them."""
    folder = tmp_path_factory.mktemp(request.param)
    source = SOURCES / request.param / "cuda_kernel.cu"
    command = [str(NVCC), *FLAGS, f"-I{SOURCES}", "-cubin", "-o", "kernel.cubin", str(source)]
    told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    (ptx,) = folder.glob("*.ptx")
    entries = re.split(r"^\s*\.visible \.entry |^\s*\.entry ", ptx.read_text(), flags=re.MULTILINE)[1:]
    return request.param, {entry.split("(", 1)[0]: entry for entry in entries}, told.stderr


def instructions(entry: str, *beginnings: str) -> list[str]:
    return re.findall(rf"^\s+(?:@!?%p\d+ )?((?:{'|'.join(beginnings)})\.[\w.:]+)", entry, flags=re.MULTILINE)


def test_no_register_is_spilled(compiled):
    _, kernels, told = compiled
    spilled = [int(count) for count in re.findall(r"(\d+) bytes spill", told)]
    assert len(spilled) >= 2 * len(kernels) > 0  # stores and loads of each
    assert not any(spilled)


def test_accesses_have_16_bytes(compiled):
    operator, kernels, _ = compiled
    if operator == "fixed_point_conv":
        pytest.skip("it reads places of a window, which are not aligned")
    if operator == "observe":
        wide = {name: entry for name, entry in kernels.items() if "Divider" in name}
        assert len(wide) == 4  # extremes and counts of planes, with indices of 32 bits and of 64
        assert all("ld.global.v4.f32" in entry for entry in wide.values())
        return
    wide = {name: entry for name, entry in kernels.items() if not re.search("Li1E", name)}
    assert len(wide) == len(kernels) - 4  # but for two types and two kinds of indices, where x and y begin differently
    for entry in wide.values():
        loads, stores = instructions(entry, r"ld\.global"), instructions(entry, r"st\.global")
        assert sum(".v4." in load for load in loads) >= 4  # in flight a thread
        assert any(".v4." in store for store in stores)


def test_divisions_are_those_of_values_by_scales(compiled):
    """A quotient of floats rounded correctly is what the operators are defined by, and a product with the reciprocal is
    not it; indices are divided by multiplication, but for tensors of 2^31 values, and once a thread for columns."""
    operator, kernels, _ = compiled
    for name, entry in kernels.items():
        divisions = set(instructions(entry, "div", "rem", "rcp"))
        if "LargeDivider" in name or "column_" in name:
            divisions -= {"div.s64", "div.u32", "rem.s64", "rem.u32"}
        by_scales = operator in ("fake_quantize", "fake_quantize_codebook")
        assert divisions == ({"div.rn.f32"} if by_scales else set()), name


def test_nothing_is_fused_or_approximate(compiled):
    _, kernels, _ = compiled
    for entry in kernels.values():
        assert not instructions(entry, r"fma\.rn")
        assert ".approx" not in entry
        assert ".ftz" not in entry
