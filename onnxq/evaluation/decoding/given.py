"""A function of the user's that finds boxes in outputs. A part of ``evaluation``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from onnxq.data.fitting import Size
from onnxq.errors import OnnxqError, first_line
from onnxq.evaluation.decoding.base import Decoder, Found, Outputs


def decoder_of(name: str, function: Callable[..., Any]) -> Decoder:
    """A decoder of a function (outputs, (height, width)) that returns for each image its (corners, scores, classes).

    Classes are counted from 0, in the order of the data set's numbers.
    """

    def decode(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> list[Found]:
        try:
            return [
                Found(
                    np.asarray(corners, np.float64).reshape(-1, 4),
                    np.asarray(scores, np.float64),
                    np.asarray(classes, np.int64),
                )
                for corners, scores, classes in function(list(outputs), frame)
            ]
        except OnnxqError as error:
            raise OnnxqError(f"`decode` {name}: {error}") from error
        except Exception as error:  # of somebody else's program
            raise OnnxqError(f"`decode` {name}: {type(error).__name__}: {first_line(error)}") from error

    return Decoder(lambda outputs, frame, metadata: True, decode)
