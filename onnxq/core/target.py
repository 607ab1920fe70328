"""What a runtime can do, as data. A ground type: targets are in ``recipe.targets``, their writers in ``rewrite``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxq.core.granularity import Granularity


@dataclass(frozen=True)
class Target:
    """Facts about the runtime that is to run a file, and what its files are made of; subclasses state theirs.

    Attributes:
        writer: who writes the file: a name that ``rewrite.writers`` knows.
        points: quantization points that its files can have, the default first.
        formats: names of number formats that it can hold; empty for all.
        act_granularity: of activations, where nothing else is asked for.
        only_per_tensor: activations cannot have a scale for each channel.
        bits_per_channel: channels can have bits of their own.
        corrected_weights: weights can be moved off their grid, to the mean of the float weights.
        dynamic_ranges: ranges of the current batch can be computed.
        weight_bits, act_bits: widths of weights, and of activations, that it can hold; None for all.
        widest_exact_weights: bits up to which its kernels compute weights exactly on all processors.
        last_weight_bits: of the last layer, where others have fewer; 0 for those of the first.
        between_bits: of activations that no layer reads, where others have fewer; 0 for the same.
        affine_weights, affine_activations: the formats in which it holds affine ones, by name.
        centred_weights, centred_activations: their zero points must be 0, in signed codes.
        signed_activations: activations are INT8, not UINT8.
        zero_in_range: every range must contain zero, since zero points are codes.
        expands_weights: narrow weights must be INT8 before they are dequantized; the session folds what does it.
        most_streamed: weights of a layer beyond which it stores them in the next type rather than as a bit stream, all
            channels at one width.
        clamps_codes: widths of activations below 8 bits are made by a clamp behind the quantizer, not before it.
        integer_biases: biases are INT32 codes at the scale of input times weight.
        quantized_outputs: layers that compute in float where no quantizer reads what they make.
        fixed_shapes: inputs must not have free sizes.
        fused_operators: those that have integer kernels, beside Conv and Gemm.
        moving_operators: those that only move values: they share the quantizer of their input.
        moves_codes: of these, those that only stay integer where they are written between the codes.
        opset: of its files.
    """

    writer: ClassVar[str] = "onnxq"
    points: ClassVar[tuple[str, ...]] = ("inputs",)
    formats: ClassVar[tuple[str, ...]] = ()
    act_granularity: ClassVar[Granularity] = Granularity.PER_CHANNEL
    only_per_tensor: ClassVar[bool] = False
    bits_per_channel: ClassVar[bool] = True
    corrected_weights: ClassVar[bool] = True
    dynamic_ranges: ClassVar[bool] = True
    weight_bits: ClassVar[tuple[int, ...] | None] = None
    act_bits: ClassVar[tuple[int, ...] | None] = None
    widest_exact_weights: ClassVar[int] = 8
    last_weight_bits: ClassVar[int] = 0
    between_bits: ClassVar[int] = 0
    affine_weights: ClassVar[str] = "affine"
    affine_activations: ClassVar[str] = "affine"
    centred_weights: ClassVar[bool] = False
    centred_activations: ClassVar[bool] = False
    signed_activations: ClassVar[bool] = False
    zero_in_range: ClassVar[bool] = False
    expands_weights: ClassVar[bool] = False
    most_streamed: ClassVar[int] = 2**62
    clamps_codes: ClassVar[bool] = False
    integer_biases: ClassVar[bool] = False
    quantized_outputs: ClassVar[tuple[str, ...]] = ()
    fixed_shapes: ClassVar[bool] = False
    fused_operators: ClassVar[tuple[str, ...]] = ()
    moving_operators: ClassVar[tuple[str, ...]] = ()
    moves_codes: ClassVar[tuple[str, ...]] = ()
    opset: ClassVar[int] = 21

    @property
    def standard_operators(self) -> bool:
        """Whether activations are computed in operators of ONNX alone, whose types and shapes any runtime infers."""
        return self.writer == "qdq"
