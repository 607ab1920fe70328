// Kernels of FakeQuantize. Parameters are plain pointers: no ONNX Runtime types here.
#pragma once

#include <stdint.h>

namespace onnxq {

// Each is per channel, or one value for all.
struct FakeQuantizeParameters {
  const float* scale;
  const float* zero_point;
  const int32_t* bits;
  bool scale_per_channel;
  bool zero_point_per_channel;
  bool bits_per_channel;
};

// CPU: `count` consecutive values of one channel.
#define ONNXQ_DECLARE(isa)                                                                                     \
  void fake_quantize_f32_##isa(const float* x, float* y, int64_t count, float scale, float zero_point, int32_t bits); \
  void fake_quantize_f16_##isa(const uint16_t* x, uint16_t* y, int64_t count, float scale, float zero_point, int32_t bits);
ONNXQ_DECLARE(baseline)
ONNXQ_DECLARE(avx2)
ONNXQ_DECLARE(avx512)
#undef ONNXQ_DECLARE

// CUDA: x is [outer, channels, inner]; launches on `stream`; returns a cudaError_t.
int fake_quantize_cuda_f32(const void* x, void* y, int64_t outer, int64_t channels, int64_t inner,
                           FakeQuantizeParameters parameters, void* stream);
int fake_quantize_cuda_f16(const void* x, void* y, int64_t outer, int64_t channels, int64_t inner,
                           FakeQuantizeParameters parameters, void* stream);

}  // namespace onnxq
