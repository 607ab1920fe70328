"""Print the lowest versions that pyproject.toml declares, for pip: of all that is needed to run on a CPU."""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

if __name__ == "__main__":
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cpu"]]
    print(*(requirement.replace(">=", "==") for requirement in needed))
