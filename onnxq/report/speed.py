"""How fast two files are beside each other. A part of ``report``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from onnxq.core.feeds import Batch
from onnxq.runtime.batches import on_device, run
from onnxq.runtime.providers import provider_of
from onnxq.runtime.sessions import make_session

SECONDS = 3.0
ROUNDS = 30


@dataclass(frozen=True)
class Speeds:
    """Images a second of each file, medians over rounds of one batch in turns; where, and of how many images."""

    rates: tuple[float, ...]
    provider: str
    images: int


def speeds(paths: Sequence[Path], batch: Batch, provider: str) -> Speeds:
    """One batch through each file in turns, after one that does not count, for about three seconds.

    Raises:
        OnnxqError: a file cannot be run.
    """
    sessions = [make_session(path, provider) for path in paths]
    names = [[output.name for output in session.get_outputs()] for session in sessions]
    there = on_device(batch, sessions[0])
    seconds: list[list[float]] = [[] for _ in paths]
    end = float("inf")
    for number in range(ROUNDS + 1):
        for session, wanted, own in zip(sessions, names, seconds, strict=True):
            started = time.perf_counter()
            run(session, wanted, there)
            if number:
                own.append(time.perf_counter() - started)
        if number == 0:
            end = time.perf_counter() + SECONDS
        elif time.perf_counter() > end:
            break
    return Speeds(tuple(len(batch) / median(own) for own in seconds), provider_of(sessions[0]), len(batch))
