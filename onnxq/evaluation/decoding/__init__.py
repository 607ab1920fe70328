"""From the outputs of detectors to boxes; one family a file. A part of ``evaluation``, called by ``metrics``."""

from __future__ import annotations

from collections.abc import Mapping

from onnxq.core.given import imported, is_given
from onnxq.data.fitting import Size
from onnxq.errors import OnnxqError
from onnxq.evaluation.decoding.base import Decoder, Found, Outputs
from onnxq.evaluation.decoding.given import decoder_of
from onnxq.evaluation.decoding.torchvision import FINAL, RAW
from onnxq.evaluation.decoding.yolo import END_TO_END, YOLO, YOLOV8, YOLOX

__all__ = ["DECODERS", "Decoder", "Found", "Outputs", "decoder_named", "fitting_decoders"]

DECODERS = {
    "torchvision": RAW,
    "boxes": FINAL,
    "end2end": END_TO_END,
    "yolov8": YOLOV8,
    "yolo": YOLO,
    "yolox": YOLOX,
}


def decoder_named(name: str) -> Decoder:
    """A decoder by its name, or ``module.py:function``, whose file is executed.

    Raises:
        OnnxqError: there is none.
    """
    if is_given(name):
        return decoder_of(name, imported(name, "decode"))
    if name not in DECODERS:
        raise OnnxqError(f"no `decode` {name!r}; use one of {', '.join(DECODERS)}, or module.py:function")
    return DECODERS[name]


def fitting_decoders(outputs: Outputs, frame: Size, metadata: Mapping[str, str]) -> list[str]:
    """Names of those by which outputs of these shapes may be read, the likeliest first."""
    found = [name for name, decoder in DECODERS.items() if decoder.fits(outputs, frame, metadata)]
    return sorted(found, key=lambda name: not DECODERS[name].likely(outputs))
