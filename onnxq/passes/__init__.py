"""Graph rewrites, one a file.

A pass takes an onnx-graphsurgeon graph (and the decisions it carries out), changes it in place and
returns whether it changed anything. It holds no statistics and no formulas.
"""
