"""FixedPointConv(x, weight, bias, fraction_bits): a convolution as a fixed-point machine computes it.

    x              float32 [N, C, H, W]
    weight         float32 [M, C / group, kh, kw]
    bias           float32 [M]
    fraction_bits  int32 [M] or [1], -100 to 100: the format of the output
    y              float32 [N, M, H', W']

    strides, pads, dilations, group       as Conv has them, all given
    total_bits, rounding, overflow        as ``FakeQuantizeFixedPoint`` has them

Every product x * weight, in float32, is put into the format of its output channel; the codes are added exactly; the sum
is put into the format, and so is the sum with the bias. NaN gives NaN.

**It has no function body** (ONNX has no convolution that rounds its products): a file with it needs the native library,
and says so in its metadata. The numpy reference is ``onnxq.grids.fixed_point.convolve``.
"""

NAME = "FixedPointConv"
