"""What a file in standard operators cannot express, in sentences. A part of ``rewrite``."""

from __future__ import annotations

from onnxq.core.plan import Plan
from onnxq.formats.affine import AffineParams
from onnxq.rewrite.integer_types import INT2_OPSET, container_width
from onnxq.rewrite.integer_weights import is_streamed


def qdq_notes(plan: Plan) -> tuple[str, ...]:
    """On the widths, types and zero points of a plan."""
    notes, target = [], plan.target
    activations = [params for params in plan.activations.values() if isinstance(params, AffineParams)]
    weights = [int(quantized.bits.max()) for quantized in plan.weights.values()]
    typed = {int(quantized.bits.max()) for quantized in plan.weights.values() if not is_streamed(quantized, target)}
    for bits in sorted({int(params.bits.min()) for params in activations if params.bits.min() < 8}):
        notes.append(
            f"{bits}-bit activations are stored as UINT8 with the range clamped: "
            "ONNX Runtime takes no narrower type through every operator"
        )
    for bits in sorted(typed):
        if (width := container_width(bits)) != bits:
            notes.append(f"{bits}-bit weights are stored as INT{width} with the range clamped")
    if any(bits > target.widest_exact_weights for bits in weights):
        notes.append(
            "weights of 8 bits can saturate on x86 processors without VNNI: `weights.bits` "
            f"{target.widest_exact_weights} are exact everywhere, at the same size and speed"
        )
    if any(bits <= 2 for bits in typed):
        notes.append(
            f"INT2 weights need opset {INT2_OPSET}: the CUDA provider has no kernels for it, and older runtimes fail"
        )
    if any(params.scale.size > 1 for params in activations):
        notes.append(
            "per-channel activations are valid ONNX, but integer kernels need `activations.granularity` per-tensor"
        )
    if target.centred_activations:
        notes.append("activations are symmetric INT8 with the zero point 0, as TensorRT requires")
    else:
        notes.append("ranges were widened to contain zero, as integer zero points require")
    return tuple(notes)
