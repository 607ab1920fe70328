"""ONNX Runtime: sessions with onnxq's kernels, providers, batches, and errors in plain words."""

from onnxq.core.optional import optional

optional("onnxruntime", "cpu", "onnxq needs ONNX Runtime, of which `gpu` in the place of `cpu` has CUDA")
