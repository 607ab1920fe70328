"""Text recognition: characters that are read right, of networks trained by CTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from onnxq.core.metadata_keys import CHARACTERS
from onnxq.errors import OnnxqError
from onnxq.evaluation.metrics.base import METRICS, Metric, Outputs, Target


@METRICS.register("ocr")
@dataclass
class Text(Metric):
    """Characters and whole lines that are right, in percent.

    Characters: 1 - edit distance / length, over all lines together, and 0 at least. The greedy rule of CTC (Graves et
    al. 2006): the best class of each step, repeats once, without blanks, which are class 0.

    Attributes:
        characters: file of the characters of classes 1, 2, ..., one a line; '' for what the file's metadata has. Where
            there is one more class, it is a space.
    """

    columns: ClassVar[dict[str, str]] = {"characters": ".2f", "lines": ".2f"}
    needs: ClassVar[str] = "text"
    headline: ClassVar[str] = "characters"
    counts: ClassVar[tuple[str, ...]] = ("length", "edits", "count", "right")

    characters: str = ""
    letters: list[str] = field(default_factory=list, init=False)
    length: int = field(default=0, init=False)
    edits: int = field(default=0, init=False)
    count: int = field(default=0, init=False)
    right: int = field(default=0, init=False)

    def start(self, metadata: Mapping[str, str]) -> None:
        """As ``Metric.start``."""
        text = metadata.get(CHARACTERS, "")
        if self.characters:
            try:
                text = Path(self.characters).read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                raise OnnxqError(f"`characters` {self.characters}: cannot be read ({error})") from error
        self.letters = text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
        if not self.letters:
            raise OnnxqError(
                f"the metric ocr needs the characters of the classes: `characters`, or metadata {CHARACTERS!r}"
            )

    def update(self, outputs: Outputs, reference: Outputs, target: Target) -> None:
        """As ``Metric.update``."""
        steps = outputs[0]
        if steps.ndim != 3 or len(steps) != len(target):
            raise OnnxqError(f"the first output has shape {list(steps.shape)}; expected [images, steps, classes]")
        letters = ["", *self.letters, " "][: steps.shape[2]]
        if len(letters) != steps.shape[2]:
            raise OnnxqError(f"{steps.shape[2]} classes, {len(self.letters)} `characters`: expected one or two more")
        for line, true in zip(steps.argmax(axis=2), target, strict=True):
            kept = np.append(True, line[1:] != line[:-1]) & (line > 0)
            own = "".join(letters[code] for code in line[kept])
            self.edits += edit_distance(own, true.text)
            self.length += len(true.text)
            self.right += own.strip() == true.text.strip()
            self.count += 1

    def result(self) -> dict[str, float]:
        """As ``Metric.result``."""
        return {
            "characters": 100 * max(1 - self.edits / max(self.length, 1), 0.0),
            "lines": 100 * self.right / max(self.count, 1),
        }

    def least(self) -> float:
        """Of lines that are read at all."""
        return 25.0

    def suspicion(self) -> str:
        """Another alphabet."""
        return "are these the `characters` it was trained with, and the lines upright?"


def edit_distance(a: str, b: str) -> int:
    """How many letters to insert, leave out or replace (Levenshtein 1966).

    >>> edit_distance("kitten", "sitting")
    3
    """
    row: NDArray[Any] = np.arange(len(b) + 1)
    places = np.arange(len(b) + 1)
    codes = np.array([ord(letter) for letter in b], np.int64)
    for letter in a:
        replaced = row[:-1] + (codes != ord(letter))
        following = np.concatenate([row[:1] + 1, np.minimum(row[1:] + 1, replaced)])
        row = np.minimum.accumulate(following - places) + places  # an insertion a step
    return int(row[-1])
