"""Calibration images for ONNX Runtime's own tools."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Batches as onnxruntime.quantization wants them; ``name`` is the model's input."""

    def __init__(self, name: str, batches: Iterable[NDArray[np.float32]]) -> None:
        self.feeds = ({name: batch} for batch in batches)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next feed."""
        return next(self.feeds, None)
