"""Files that a search has tried, and where it finds them again. A part of ``search``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from onnxq.core.files import replacing
from onnxq.errors import OnnxqError


@dataclass(frozen=True)
class Candidate:
    """A file that was tried.

    Attributes:
        bits: mean of a weight that was asked for. size: bytes. lost: points of the metric, or percent of images that
            differ. error: standard error of what is lost, by the choice of images.
        reached: mean of a weight in the file: a target may have no fewer than that.
    """

    bits: float
    size: int
    lost: float
    error: float
    reached: float | None = None

    @property
    def mean(self) -> float:
        """Bits of a weight, as far as they are known."""
        return self.bits if self.reached is None else self.reached


@dataclass(frozen=True)
class Kept:
    """A folder in which a search that was stopped goes on.

    Attributes:
        facts: digest of all that results depend on; what other facts have found is not looked at.
    """

    folder: Path
    facts: str

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OnnxqError(f"{self.folder}: cannot be made: {error.strerror}") from error

    @property
    def sensitivity(self) -> Path:
        """The file of them."""
        return self.folder / f"{self.facts}.sensitivity.json"

    def candidate(self, bits: float) -> Candidate | None:
        """What was found at so many bits, if it was."""
        try:
            content = json.loads(self._path(bits).read_text())
            lost, error, reached = (float(content[name]) for name in ("lost", "error", "reached"))
            return Candidate(float(content["bits"]), int(content["size"]), lost, error, reached)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, candidate: Candidate) -> None:
        """For the next run.

        Raises:
            OnnxqError: it cannot be written.
        """
        with replacing(self._path(candidate.bits)) as temporary:
            temporary.write_text(json.dumps(asdict(candidate)) + "\n")

    def _path(self, bits: float) -> Path:
        return self.folder / f"{self.facts}.{bits:.6f}.json"
