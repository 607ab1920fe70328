"""How far quantized files are from their float network, output by output and layer by layer; no labels needed.

``compare`` is the entrance; called by the command line and from Python.
"""
