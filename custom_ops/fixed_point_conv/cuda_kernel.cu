// A thread has one place of the output, in kOutputs of its channels at a time: it reads x once for all of them. Their
// weights pass through shared memory, kTaps of each at a time. Places and rows have 32 bits (op.cpp).
#include <cuda_runtime.h>

#include <algorithm>

#include "divider.h"
#include "fixed_point_conv/kernels.h"
#include "launch.cuh"

namespace onnxq {
namespace {

constexpr int kThreads = 128;
constexpr int kTaps = 256;
constexpr int64_t kMostTiles = 65535;  // of a grid's second dimension

static_assert(int64_t{kTaps} << 15 <= INT32_MAX, "a sum of codes of 16 bits has 32");

// Places of the output, and its channels in tiles, which are of one group each; with what both are divided by.
struct ConvTiles {
  Divider plane, width, a_group;
  int64_t places, tiles, outputs_a_group;
};

// The code of a product by the step's inverse, which is not NaN.
template <Rounding kRounding, Overflow kOverflow>
__device__ __forceinline__ int32_t code_of(float value, const FixedPointFormat& format) {
  if constexpr (kOverflow == Overflow::saturate && kRounding != Rounding::half_up) {
    // The ends are whole numbers: it is the same to clamp first, and then rounding is part of the conversion.
    const float clamped = fminf(fmaxf(value, -format.half), format.half - 1.0f);
    return kRounding == Rounding::half_even ? __float2int_rn(clamped) : __float2int_rd(clamped);
  }
  return static_cast<int32_t>(into_range(round_to(value, kRounding), format));
}

template <int kOutputs, Rounding kRounding, Overflow kOverflow>
__global__ void __launch_bounds__(kThreads) conv_kernel(const FixedPointConvCall call, const ConvTiles tiles) {
  alignas(16) __shared__ float weights[kTaps * kOutputs];
  const FixedPointConvShape& s = call.shape;
  const FixedPointFormat format{call.format.half, call.format.turns, kRounding, kOverflow};
  const int64_t taps = s.inputs * s.kernel_h * s.kernel_w, plane = s.height * s.width;
  const auto height = static_cast<int>(s.height), width = static_cast<int>(s.width);
  const auto kernel_h = static_cast<int>(s.kernel_h), kernel_w = static_cast<int>(s.kernel_w);
  const auto dilation_h = static_cast<int>(s.dilation_h), dilation_w = static_cast<int>(s.dilation_w);

  const uint32_t place = blockIdx.x * kThreads + threadIdx.x;
  const bool inside = place < tiles.places;  // all threads stay, to fetch weights
  const uint32_t image = tiles.plane.quotient(place), pixel = place - image * tiles.plane.divisor;
  const uint32_t row = tiles.width.quotient(pixel), column = pixel - row * tiles.width.divisor;
  const auto top = static_cast<int>(row * s.stride_h - s.pad_top);
  const auto left = static_cast<int>(column * s.stride_w - s.pad_left);

  for (uint32_t tile = blockIdx.y; tile < tiles.tiles; tile += gridDim.y) {
    const uint32_t group = tiles.a_group.quotient(tile);
    const int64_t first = group * tiles.outputs_a_group + int64_t{tiles.a_group.remainder(tile)} * kOutputs;
    const int64_t rest = (group + 1) * tiles.outputs_a_group - first;
    const int outputs = static_cast<int>(rest < kOutputs ? rest : kOutputs);
    const float* x = call.x + (image * s.channels + group * s.inputs) * plane;
    float inverse_step[kOutputs];
    int64_t sums[kOutputs];
    unsigned unknown = 0;  // bit o: a product of output o is NaN
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      inverse_step[o] = o < outputs ? ldexpf(1.0f, call.fraction_bits[call.per_channel ? first + o : 0]) : 0.0f;
      sums[o] = 0;
    }
    int ky = 0, kx = 0, at_row = top, at_column = left;
    for (int64_t begin = 0; begin < taps; begin += kTaps) {
      const int count = static_cast<int>(taps - begin < kTaps ? taps - begin : kTaps);
      __syncthreads();  // the taps before have been read
      for (int o = 0; o < kOutputs; ++o)
        for (int t = static_cast<int>(threadIdx.x); t < count; t += kThreads)
          weights[t * kOutputs + o] = o < outputs ? call.weight[(first + o) * taps + begin + t] : 0.0f;
      __syncthreads();
      int32_t some[kOutputs] = {};
      for (int t = 0; inside && t < count; ++t) {
        if (static_cast<uint32_t>(at_row) < static_cast<uint32_t>(height) &&
            static_cast<uint32_t>(at_column) < static_cast<uint32_t>(width)) {
          const float value = x[at_row * width + at_column];
#pragma unroll
          for (int o = 0; o < kOutputs; ++o) {
            const float product = value * weights[t * kOutputs + o] * inverse_step[o];
            if (product == product)
              some[o] += code_of<kRounding, kOverflow>(product, format);
            else
              unknown |= 1u << o;
          }
        }
        at_column += dilation_w;
        if (++kx == kernel_w) {
          kx = 0, at_column = left, at_row += dilation_h;
          if (++ky == kernel_h) ky = 0, at_row = top, x += plane;
        }
      }
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) sums[o] += some[o];
    }
    if (!inside) continue;
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      if (o >= outputs) continue;
      const float step = ldexpf(1.0f, negated(call.fraction_bits[call.per_channel ? first + o : 0]));
      const double sum = unknown >> o & 1 ? nan("") : static_cast<double>(sums[o]);
      call.y[(image * s.outputs + first + o) * s.out_h * s.out_w + pixel] =
          finish(sum, call.bias[first + o], inverse_step[o], step, format);
    }
  }
}

template <int kOutputs, Rounding kRounding>
auto kernel_of(Overflow overflow) {
  return overflow == Overflow::wrap ? conv_kernel<kOutputs, kRounding, Overflow::wrap>
                                    : conv_kernel<kOutputs, kRounding, Overflow::saturate>;
}

template <int kOutputs>
auto kernel_of(const FixedPointFormat& format) {
  return format.rounding == Rounding::half_even ? kernel_of<kOutputs, Rounding::half_even>(format.overflow)
         : format.rounding == Rounding::half_up ? kernel_of<kOutputs, Rounding::half_up>(format.overflow)
                                                : kernel_of<kOutputs, Rounding::floor>(format.overflow);
}

template <int kOutputs>
cudaError_t launch_conv(const FixedPointConvCall& call, void* stream) {
  const FixedPointConvShape& s = call.shape;
  const int64_t outputs = s.outputs / s.group, a_group = blocks_for(outputs, kOutputs);
  const int64_t places = s.batch * s.out_h * s.out_w;
  const ConvTiles tiles{Divider(s.out_h * s.out_w), Divider(s.out_w), Divider(a_group), places,
                        a_group * s.group,          outputs};
  return launch(kernel_of<kOutputs>(call.format), blocks_for(places, kThreads), std::min(tiles.tiles, kMostTiles),
                kThreads, stream, call, tiles);
}

// Whether tiles of so many outputs fill the device, and are not filled up with too many that are none.
bool suits(int64_t outputs, const FixedPointConvShape& s, int64_t at_once) {
  const int64_t a_group = s.outputs / s.group, tiles = blocks_for(a_group, outputs);
  const bool fills = blocks_for(s.batch * s.out_h * s.out_w, kThreads) * tiles * s.group >= at_once;
  return fills && 4 * tiles * outputs <= 5 * a_group;
}

}  // namespace

int fixed_point_conv_cuda(const FixedPointConvCall& call, void* stream) {
  const FixedPointConvShape& s = call.shape;
  const int64_t plane = s.out_h * s.out_w;
  if (s.batch * s.outputs * plane == 0) return cudaSuccess;
  int64_t at_once = 0;
  cudaError_t error = blocks_at_once<conv_kernel<8, Rounding::half_even, Overflow::saturate>>(kThreads, &at_once);
  // As many images at a time as have places of 31 bits.
  const int64_t images = std::max<int64_t>(1, (kDividerLimit - 1) / plane);
  for (int64_t image = 0; error == cudaSuccess && image < s.batch; image += images) {
    FixedPointConvCall part = call;
    part.shape.batch = std::min(images, s.batch - image);
    part.x += image * s.channels * s.height * s.width;
    part.y += image * s.outputs * plane;
    error = suits(8, part.shape, at_once)   ? launch_conv<8>(part, stream)
            : suits(4, part.shape, at_once) ? launch_conv<4>(part, stream)
                                            : launch_conv<1>(part, stream);
  }
  return error;
}

}  // namespace onnxq
