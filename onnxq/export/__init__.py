"""Networks of other libraries to ONNX. The one folder that needs torch; called by the command line."""
