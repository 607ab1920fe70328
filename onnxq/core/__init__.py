"""The words of the project: data types that every stage speaks of. numpy only; no stage, no ONNX."""
