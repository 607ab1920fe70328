"""Networks of other libraries to ONNX. The one folder that needs torchvision; called by the command line."""

from onnxq.core.optional import optional

for _package in ("torch", "torchvision", "onnxscript"):
    optional(_package, "torch", f"networks of torchvision need {_package}")
