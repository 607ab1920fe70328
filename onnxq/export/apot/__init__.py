"""Networks that the published APoT system trained, to quantized ONNX files: ``importing``, which needs torch."""
