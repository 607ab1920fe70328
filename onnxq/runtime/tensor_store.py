"""Batches of tensors between runs: in memory as far as a limit, beyond it in temporary files. A part of ``runtime``."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxq.errors import OnnxqError

IN_MEMORY = 2**28  # bytes


@dataclass
class TensorStore:
    """Arrays by (name, batch); a context, at whose end its files are gone.

    Attributes:
        limit: bytes that are held in memory.
    """

    limit: int = IN_MEMORY
    _held: dict[tuple[str, int], NDArray[Any]] = field(default_factory=dict)
    _files: dict[tuple[str, int], Path] = field(default_factory=dict)
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _bytes: int = 0
    _written: int = 0

    def __enter__(self) -> TensorStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def put(self, name: str, batch: int, array: NDArray[Any]) -> None:
        """Keep an array.

        Raises:
            OnnxqError: it does not fit into memory, nor on the disk.
        """
        if self._bytes + array.nbytes <= self.limit:
            self._held[name, batch] = array
            self._bytes += array.nbytes
            return
        try:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="onnxq-")
            path = Path(self._folder.name) / f"{self._written}.npy"
            self._written += 1
            np.save(path, array)
        except OSError as error:
            raise OnnxqError(
                f"activations cannot be kept in {tempfile.gettempdir()}: {error.strerror or error}; make room, set "
                "TMPDIR to another folder, or take fewer images"
            ) from error
        self._files[name, batch] = path

    def get(self, name: str, batch: int) -> NDArray[Any]:
        """What was kept."""
        if (name, batch) in self._held:
            return self._held[name, batch]
        return np.load(self._files[name, batch])

    def drop(self, name: str, batch: int) -> None:
        """Forget an array."""
        array = self._held.pop((name, batch), None)
        if array is not None:
            self._bytes -= array.nbytes
        path = self._files.pop((name, batch), None)
        if path is not None:
            path.unlink()
