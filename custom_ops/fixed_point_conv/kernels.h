// Kernels of FixedPointConv: every product, the sum and the sum with the bias are put into the format of the output.
#pragma once

#include "arithmetic.h"

namespace onnxq {

struct FixedPointConvShape {
  int64_t batch, channels, height, width;       // of x
  int64_t outputs, inputs, kernel_h, kernel_w;  // of the weight; inputs are those of one group
  int64_t out_h, out_w;
  int64_t stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, group;
};

struct FixedPointConvCall {
  FixedPointConvShape shape;
  FixedPointFormat format;
  const float* x;
  const float* weight;
  const float* bias;
  const int32_t* fraction_bits;
  bool per_channel;
  float* y;
};

// From the sum of codes to the output.
ONNXQ_HD float finish(double sum, float bias, float inverse_step, float step, FixedPointFormat format) {
  return fixed_point(sum_into_range(sum, format) * step + bias, inverse_step, step, format);
}

// CPU: one output channel of one image; `sums` has room for out_w values.
#define ONNXQ_DECLARE(isa) \
  void fixed_point_conv_##isa(const FixedPointConvCall& call, int64_t image, int64_t output, double* sums);
ONNXQ_DECLARE(baseline)
ONNXQ_DECLARE(avx2)
ONNXQ_DECLARE(avx512)
#undef ONNXQ_DECLARE

// CUDA: launches on `stream`; returns a cudaError_t.
int fixed_point_conv_cuda(const FixedPointConvCall& call, void* stream);

}  // namespace onnxq
