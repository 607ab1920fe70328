// A thread has one place of the output, in kOutputs of its channels at a time: it reads x once for all of them. Their
// weights pass through shared memory, kTaps of each at a time.
#include <cuda_runtime.h>

#include <algorithm>

#include "divider.h"
#include "fixed_point_conv/kernels.h"
#include "launch.cuh"

namespace onnxq {
namespace {

constexpr int kThreads = 256;
constexpr int kTaps = 256;
constexpr int kManyOutputs = 8;
constexpr int64_t kMostTiles = 65535;  // of a grid's second dimension

static_assert(int64_t{kTaps} << 15 <= INT32_MAX, "a sum of codes of 16 bits has 32");

// What is divided by in places of the output and in its channels, which come in tiles of one group.
struct ConvTiles {
  Divider plane, width, a_group;
  int64_t places, tiles, outputs_a_group;
};

template <int kOutputs, Rounding kRounding, Overflow kOverflow>
__global__ void __launch_bounds__(kThreads) conv_kernel(const FixedPointConvCall call, const ConvTiles tiles) {
  alignas(16) __shared__ float weights[kTaps * kOutputs];
  const FixedPointConvShape& s = call.shape;
  const FixedPointFormat format{call.format.half, call.format.turns, kRounding, kOverflow};
  const int64_t taps = s.inputs * s.kernel_h * s.kernel_w, plane = s.height * s.width;

  const auto place = static_cast<uint32_t>(blockIdx.x * kThreads + threadIdx.x);
  const bool inside = place < tiles.places;  // all threads stay, to fetch weights
  const uint32_t image = tiles.plane.quotient(place), pixel = place - image * tiles.plane.divisor;
  const uint32_t row = tiles.width.quotient(pixel), column = pixel - row * tiles.width.divisor;
  const int64_t top = row * s.stride_h - s.pad_top, left = column * s.stride_w - s.pad_left;

  for (uint32_t tile = blockIdx.y; tile < tiles.tiles; tile += gridDim.y) {
    const uint32_t group = tiles.a_group.quotient(tile);
    const int64_t first = group * tiles.outputs_a_group + static_cast<int64_t>(tiles.a_group.remainder(tile)) * kOutputs;
    const int64_t rest = (group + 1) * tiles.outputs_a_group - first;
    const int outputs = static_cast<int>(rest < kOutputs ? rest : kOutputs);
    const float* x = call.x + (static_cast<int64_t>(image) * s.channels + group * s.inputs) * plane;
    float inverse_step[kOutputs];
    int64_t sums[kOutputs];
    unsigned unknown = 0;  // bit o: a product of output o is NaN
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      inverse_step[o] = o < outputs ? ldexpf(1.0f, call.fraction_bits[call.per_channel ? first + o : 0]) : 0.0f;
      sums[o] = 0;
    }
    int64_t ky = 0, kx = 0;
    for (int64_t begin = 0; begin < taps; begin += kTaps) {
      const int count = static_cast<int>(taps - begin < kTaps ? taps - begin : kTaps);
      __syncthreads();  // the taps before have been read
      for (int o = 0; o < kOutputs; ++o)
        for (int t = static_cast<int>(threadIdx.x); t < count; t += kThreads)
          weights[t * kOutputs + o] = o < outputs ? call.weight[(first + o) * taps + begin + t] : 0.0f;
      __syncthreads();
      int32_t some[kOutputs] = {};
      for (int t = 0; inside && t < count; ++t) {
        const int64_t at_row = top + ky * s.dilation_h, at_column = left + kx * s.dilation_w;
        if (at_row >= 0 && at_row < s.height && at_column >= 0 && at_column < s.width) {
          const float value = x[at_row * s.width + at_column];
#pragma unroll
          for (int o = 0; o < kOutputs; ++o) {
            const float product = value * weights[t * kOutputs + o];
            const float code = into_range(round_to(product * inverse_step[o], kRounding), format);
            const bool known = code == code;
            unknown |= known ? 0u : 1u << o;
            some[o] += static_cast<int32_t>(known ? code : 0.0f);
          }
        }
        if (++kx == s.kernel_w) {
          kx = 0;
          if (++ky == s.kernel_h) ky = 0, x += plane;
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
      call.y[(static_cast<int64_t>(image) * s.outputs + first + o) * s.out_h * s.out_w + pixel] =
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
  const ConvTiles tiles{Divider(s.out_h * s.out_w), Divider(s.out_w), Divider(a_group), places, a_group * s.group, outputs};
  return launch(kernel_of<kOutputs>(call.format), blocks_for(places, kThreads), std::min(tiles.tiles, kMostTiles),
                kThreads, stream, call, tiles);
}

}  // namespace

int fixed_point_conv_cuda(const FixedPointConvCall& call, void* stream) {
  const FixedPointConvShape& s = call.shape;
  const int64_t plane = s.out_h * s.out_w;
  if (s.batch * s.outputs * plane == 0) return cudaSuccess;
  // As many images at a time as have places of 31 bits.
  const int64_t images = std::max<int64_t>(1, (kDividerLimit - 1) / plane);
  for (int64_t image = 0; image < s.batch; image += images) {
    FixedPointConvCall part = call;
    part.shape.batch = std::min(images, s.batch - image);
    part.x += image * s.channels * s.height * s.width;
    part.y += image * s.outputs * plane;
    const cudaError_t error =
        s.outputs / s.group < kManyOutputs / 2 ? launch_conv<1>(part, stream) : launch_conv<kManyOutputs>(part, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace onnxq
