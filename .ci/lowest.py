"""Print the lowest versions that pyproject.toml declares, for pip: of all that tests without torch need."""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

if __name__ == "__main__":
    extras = PROJECT["optional-dependencies"]
    needed = [*PROJECT["dependencies"], *extras["cpu"], *extras["kmeans"]]
    print(*(requirement.replace(">=", "==") for requirement in needed))
