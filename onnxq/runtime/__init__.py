"""ONNX Runtime: sessions with onnxq's kernels, providers, batches, and errors in plain words."""
