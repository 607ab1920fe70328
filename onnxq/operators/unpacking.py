"""The part of an operator's body that unpacks a bit stream: from ``codes``, ``bits`` and ``shape`` to ``code``.

``code`` is uint8 [C, n], n the number of weights a channel; what follows may use the other names too.
"""

# A code spans at most two bytes: (low >> offset | high << (8 - offset)) & (2^bits - 1), in uint8.
# int32 positions keep the temporaries of the fold small.
UNPACK = """
    zero = Constant <value = int64[1] {0}> ()
    one = Constant <value = int64[1] {1}> ()
    last = Constant <value = int64[1] {2147483647}> ()
    channels = Slice (shape, zero, one)
    rest = Slice (shape, one, last)
    length = ReduceProd <keepdims: int = 1> (rest)
    column_shape = Constant <value = int64[2] {-1, 1}> ()

    channel_bits = Expand (bits, channels)
    length32 = Cast <to: int = 6> (length)
    row_bits = Mul (channel_bits, length32)
    axis = Constant <value = int64 {0}> ()
    row_start = CumSum <exclusive: int = 1> (row_bits, axis)
    start_column = Reshape (row_start, column_shape)
    bits_column = Reshape (channel_bits, column_shape)
    first = Constant <value = int32 {0}> ()
    step = Constant <value = int32 {1}> ()
    limit = Squeeze (length32)
    position_index = Range (first, limit, step)
    within = Mul (position_index, bits_column)
    position = Add (within, start_column)

    eight = Constant <value = int32 {8}> ()
    byte = Div (position, eight)
    bit = Mod (position, eight)
    bit_offset = Cast <to: int = 2> (bit)
    whole = Constant <value = uint8 {8}> ()
    rest_offset = Sub (whole, bit_offset)
    padding = Constant <value = uint8[2] {0, 0}> ()
    padded = Concat <axis: int = 0> (codes, padding)
    next_byte = Add (byte, step)
    low_byte = Gather (padded, byte)
    high_byte = Gather (padded, next_byte)
    low = BitShift <direction: string = "RIGHT"> (low_byte, bit_offset)
    high = BitShift <direction: string = "LEFT"> (high_byte, rest_offset)
    both = BitwiseOr (low, high)
    two = Constant <value = float {2.0}> ()
    unit = Constant <value = float {1.0}> ()
    level_count = Pow (two, bits_column)
    top = Sub (level_count, unit)
    mask = Cast <to: int = 2> (top)
    code = BitwiseAnd (both, mask)
"""
