// One thread an output value.
#include <cuda_runtime.h>

#include "fixed_point_conv/kernels.h"
#include "launch.cuh"

namespace onnxq {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) conv_kernel(const FixedPointConvCall call) {
  const FixedPointConvShape& s = call.shape;
  const int64_t plane = s.out_h * s.out_w, total = s.batch * s.outputs * plane;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < total; i += stride) {
    const int64_t column = i % s.out_w, row = i / s.out_w % s.out_h;
    const int64_t output = i / plane % s.outputs, image = i / plane / s.outputs;
    const int32_t fraction_bits = call.fraction_bits[call.per_channel ? output : 0];
    const float inverse_step = ldexpf(1.0f, fraction_bits), step = ldexpf(1.0f, negated(fraction_bits));
    const float* x = first_plane(call, image, output);
    const float* weight = call.weight + output * s.inputs * s.kernel_h * s.kernel_w;
    double sum = 0.0;
    for (int64_t input = 0; input < s.inputs; ++input, x += s.height * s.width) {
      for (int64_t ky = 0; ky < s.kernel_h; ++ky) {
        const int64_t y0 = row * s.stride_h - s.pad_top + ky * s.dilation_h;
        for (int64_t kx = 0; kx < s.kernel_w; ++kx, ++weight) {
          const int64_t x0 = column * s.stride_w - s.pad_left + kx * s.dilation_w;
          if (y0 < 0 || y0 >= s.height || x0 < 0 || x0 >= s.width) continue;
          const float product = x[y0 * s.width + x0] * *weight;
          sum += static_cast<double>(into_range(round_to(product * inverse_step, call.format.rounding), call.format));
        }
      }
    }
    call.y[i] = finish(sum, call.bias[output], inverse_step, step, call.format);
  }
}

}  // namespace

int fixed_point_conv_cuda(const FixedPointConvCall& call, void* stream) {
  const int64_t total = call.shape.batch * call.shape.outputs * call.shape.out_h * call.shape.out_w;
  if (total == 0) return cudaSuccess;
  return launch(conv_kernel, turning_blocks_for(total, kThreads), 1, kThreads, stream, call);
}

}  // namespace onnxq
