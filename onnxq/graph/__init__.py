"""ONNX in, normal form, analysis, ONNX out, by onnx-graphsurgeon. No statistics, no decisions."""
