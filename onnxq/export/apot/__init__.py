"""Networks that the published APoT system trained, to quantized ONNX files. A part of ``export``; it needs torch."""

from onnxq.export.apot.importing import import_apot

__all__ = ["import_apot"]
