"""Put a quantizer on every planned activation. A part of ``rewrite``."""

from __future__ import annotations

import onnx_graphsurgeon as gs

from onnxq.core.plan import Plan
from onnxq.graph.names import Names
from onnxq.rewrite.sites import sites
from onnxq.rewrite.write_calls import write_calls


def write_activations(graph: gs.Graph, plan: Plan) -> None:
    """Insert the quantizers of ``plan.activations``; outputs of the network that are quantized keep their names."""
    names = Names(graph)
    for site in sites(graph, plan):
        tensor = site.tensor
        quantized = gs.Variable(names.fresh(f"{tensor.name}/quantized"), tensor.dtype, tensor.shape)
        write_calls(graph, names, tensor.name, site.params.quantizer_calls(site.point.rank), quantized, tensor)
        site.redirect(quantized)
        if site.point.is_output:
            graph.outputs = [quantized if output is tensor else output for output in graph.outputs]
            quantized.name, tensor.name = tensor.name, names.fresh(f"{tensor.name}/exact")
