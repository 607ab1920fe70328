"""Where values lie in memory: starts that are not aligned, planes of odd size, channels last.

Starts matter on the processor, where ONNX Runtime takes arrays as they are; there CUDA kernels (`make cuda-on-host`) have
several turns a block, too.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers import FLOAT, FLOAT16, KERNEL_PROVIDERS, assert_same_bits, run
from operators import test_fake_quantize as fake_quantize
from operators import test_observe as observe

from onnxq.formats import affine
from onnxq.formats.affine import AffineParams
from onnxq.runtime.sessions import make_session

# Planes of whole words of 16 bytes, of an odd size, of less than 32 bytes, and of one value; above and below 15,000
# values, from which on tensors count as large in one build
SHAPES = [
    (3, 3, 64, 64),
    (3, 5, 33, 35),
    (700, 9, 2, 3),
    (5100, 3),
    (2, 3, 40, 60),
    (1, 3, 33, 35),
    (4100, 3),
    (9000, 1),
]
pytestmark = pytest.mark.skipif(not KERNEL_PROVIDERS, reason="the native library was not built")


def values(shape, dtype, offset):
    """Normal values, some of them not finite, that begin so many values behind an aligned address."""
    count = int(np.prod(shape))
    room = np.empty(count + offset + 64, dtype)
    start = (-room.ctypes.data % 64) // room.itemsize + offset
    x = room[start : start + count]
    x[:] = np.random.default_rng(0).standard_normal(count)
    x[5::97] = np.inf
    x = x.reshape(shape)
    assert x.ctypes.data % 64 == offset * x.itemsize
    return x


@pytest.mark.parametrize("provider", KERNEL_PROVIDERS)
@pytest.mark.parametrize("offset", [0, 1, 4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [FLOAT, FLOAT16])
def test_fake_quantize(kind, shape, offset, provider):
    x = values(shape, np.float32 if kind == FLOAT else np.float16, offset)
    channels = np.arange(shape[1])
    grid = AffineParams(
        (0.1 + 0.2 * channels).astype(np.float32), (channels % 3).astype(np.float32), channels.astype(np.int32) % 9
    )
    feeds = {"x": x, **fake_quantize.feeds_of(x, grid, 1)}
    want = affine.fake_quantize(x.astype(np.float32), grid, 1).astype(x.dtype)
    model = fake_quantize.model_of(kind, x.ndim, feeds["scale"].ndim)
    assert_same_bits(run(model, feeds, True, provider)[0], want)


@pytest.mark.parametrize(("offset", "outputs_offset"), [(1, 1), (3, 3), (3, 0), (0, 1)])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 1, 1, 2)], ids=str)
@pytest.mark.parametrize("kind", [FLOAT, FLOAT16])
def test_outputs_that_are_not_aligned(kind, shape, offset, outputs_offset):
    """As far as x, whole words are left between a few values at both ends; else there are none."""
    x = values(shape, np.float32 if kind == FLOAT else np.float16, offset)
    y = values(shape, x.dtype, outputs_offset)
    channels = np.arange(shape[1])
    grid = AffineParams(
        (0.1 + 0.2 * channels).astype(np.float32), np.zeros_like(channels, np.float32), channels.astype(np.int32) % 9
    )
    feeds = fake_quantize.feeds_of(x, grid, 1)
    session = make_session(fake_quantize.model_of(kind, x.ndim, feeds["scale"].ndim), "cpu", native=True)
    binding = session.io_binding()
    for name, array in {**feeds, "x": x}.items():
        binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    binding.bind_output("y", "cpu", 0, y.dtype, y.shape, y.ctypes.data)
    session.run_with_iobinding(binding)
    assert_same_bits(y, affine.fake_quantize(x.astype(np.float32), grid, 1).astype(x.dtype))


@pytest.mark.parametrize("provider", KERNEL_PROVIDERS)
@pytest.mark.parametrize("offset", [0, 1, 2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_observe(shape, offset, provider):
    x = values(shape, np.float32, offset)
    observe.compare(run(observe.model_of(x.ndim), {"x": x}, True, provider), x, "with Inf")
    x[~np.isfinite(x)] = 0
    observe.compare(run(observe.model_of(x.ndim), {"x": x}, True, provider), x, "finite")
