"""Reconstruction: a quantized network in torch, and what of it can be learnt. Called by ``refine``; needs torch."""
