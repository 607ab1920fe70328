"""The division of the CUDA kernels, compiled for the processor, against the processor's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAM = """
#include <stdio.h>
#include <initializer_list>
#include "divider.h"
using namespace onnxq;

int main() {
  const uint32_t last = static_cast<uint32_t>(kDividerLimit - 1);
  uint64_t state = 1;
  long wrong = 0;
  for (uint64_t step = 0; step < 3000000; ++step) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint32_t random = static_cast<uint32_t>(state >> 33);
    const uint32_t divisor = step < 3000 ? step + 1 : random >> (state >> 20) % 31 | 1;
    const uint32_t multiple = random / divisor * divisor;
    for (uint32_t n : {random, multiple, multiple > 0 ? multiple - 1 : 0, last, last / divisor * divisor}) {
      const Divider by(divisor);
      wrong += by.quotient(n) != n / divisor || by.remainder(n) != n % divisor;
    }
  }
  printf("%ld\\n", wrong);
}
"""


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_quotients_are_exact(tmp_path):
    (tmp_path / "main.cpp").write_text(PROGRAM)
    include = Path(__file__).parents[2] / "custom_ops"
    subprocess.run(["c++", "-O2", "-std=c++17", f"-I{include}", "main.cpp", "-o", "main"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout == "0\n"
