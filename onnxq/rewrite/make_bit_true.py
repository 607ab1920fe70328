"""Turn convolutions whose output is in fixed point into ``FixedPointConv``, which rounds every product and sum.

Requires: activations are quantized. Ensures: the quantizer behind such a convolution is gone; it would change nothing.
A part of ``rewrite``.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from onnxq.core.plan import Plan
from onnxq.graph.names import Names
from onnxq.operators import DOMAIN, fake_quantize_fixed_point, fixed_point_conv

GEOMETRY = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}


def make_bit_true(graph: gs.Graph, plan: Plan) -> tuple[str, ...]:
    """Replace the convolutions of ``plan.layers``; returns a note for each that stays as it is."""
    names, layers = Names(graph), set(plan.layers)
    notes = []
    for conv in [node for node in graph.nodes if node.op == "Conv" and node.name in layers]:
        quantizers = [node for node in conv.outputs[0].outputs if node.op == fake_quantize_fixed_point.NAME]
        if len(conv.inputs[1].shape) != 4 or conv.attrs.get("auto_pad", "NOTSET") != "NOTSET" or not quantizers:
            notes.append(f"layer {conv.name} is not a two-dimensional Conv with explicit pads: its products are exact")
            continue
        quantizer = quantizers[0]
        channels = conv.inputs[1].shape[0]
        bias = conv.inputs[2] if len(conv.inputs) > 2 else None
        if bias is None or bias.is_empty():
            bias = gs.Constant(names.fresh(f"{conv.name}/bias"), np.zeros(channels, np.float32))
        fraction_bits = gs.Constant(
            names.fresh(f"{conv.name}/fraction_bits"), quantizer.inputs[1].values.reshape(-1).astype(np.int32)
        )
        attributes = {**{name: conv.attrs.get(name, default) for name, default in GEOMETRY.items()}, **quantizer.attrs}
        output = quantizer.outputs[0]
        inputs = [*conv.inputs[:2], bias, fraction_bits]
        quantizer.outputs.clear()
        conv.outputs.clear()
        graph.nodes.append(gs.Node(fixed_point_conv.NAME, conv.name, attributes, inputs, [output], domain=DOMAIN))
        graph.nodes.remove(conv)
    return tuple(notes)
