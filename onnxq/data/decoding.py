"""Decoding of images ahead of their use and in order, by threads or by worker processes. A part of ``data``."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.data.datasets.base import BadImageError, Dataset
from onnxq.data.preprocessing import Preprocessing
from onnxq.errors import OnnxqError

# uint8 [H, W, channels] to be normalized, float32 [channels, H, W] ready for the model, or why it cannot be had
Decoded = NDArray[Any] | str


def decode(dataset: Dataset, preprocessing: Preprocessing, indices: Sequence[int]) -> list[Decoded]:
    """Images of a data set, resized and cropped."""
    return [_decode_one(dataset, preprocessing, index) for index in indices]


def _decode_one(dataset: Dataset, preprocessing: Preprocessing, index: int) -> Decoded:
    try:
        image = dataset.image(index)
        return image if isinstance(image, np.ndarray) else preprocessing.pixels(image)
    except BadImageError as error:
        return str(error)


def decoded(
    dataset: Dataset, preprocessing: Preprocessing, groups: Sequence[Sequence[int]], workers: int
) -> Generator[list[Decoded], None, None]:
    """The images of each group of indices, in order; a group is decoded by one thread or process.

    Args:
        workers: processes; 0 takes threads of this process.

    Raises:
        OnnxqError: a worker process died.
    """
    count = workers or os.cpu_count() or 1
    pool = _processes(count, dataset, preprocessing) if workers else ThreadPoolExecutor(count)
    task = _decode_in_worker if workers else partial(decode, dataset, preprocessing)
    pending: deque[Future[list[Decoded]]] = deque()
    try:
        for group in groups:
            pending.append(pool.submit(task, group))
            if len(pending) > count + 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise OnnxqError(
            "a process that decodes images died: out of memory (give fewer `workers`, or 0), or started by a script "
            'without `if __name__ == "__main__":`'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _processes(count: int, dataset: Dataset, preprocessing: Preprocessing) -> Executor:
    context = multiprocessing.get_context("forkserver")  # not this process: ONNX Runtime's threads may hold locks
    return ProcessPoolExecutor(count, context, _start_worker, (dataset, preprocessing))


_source: tuple[Dataset, Preprocessing]  # of a worker process


def _start_worker(dataset: Dataset, preprocessing: Preprocessing) -> None:
    global _source
    _source = dataset, preprocessing
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed cannot tell its workers, which would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _decode_in_worker(indices: Sequence[int]) -> list[Decoded]:
    return decode(*_source, indices)
