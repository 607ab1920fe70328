"""Rounding by what a layer makes: codes of weights whose errors cancel in the layer's output. Pure functions.

The mathematics of ``refine.gptq``, which gathers the moments that it works on. Weights are float64 [g, r, d]: groups of
the convolution, output channels of a group, inputs of an output (channels times taps).
"""
