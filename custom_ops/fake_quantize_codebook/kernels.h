// Kernels of FakeQuantizeCodebook. Parameters are plain pointers: no ONNX Runtime types here.
#pragma once

#include <stdint.h>

namespace onnxq {

// scale is per channel, or one value for all; levels are `count` ascending values.
struct CodebookParameters {
  const float* scale;
  const float* levels;
  int32_t count;
  bool scale_per_channel;
};

// CPU: `count` consecutive values of one channel; `bounds` are kCodebookBounds values (arithmetic.h).
#define ONNXQ_DECLARE(isa)                                                                                              \
  void codebook_f32_##isa(const float* x, float* y, int64_t count, float scale, const float* levels, const float* bounds); \
  void codebook_f16_##isa(const uint16_t* x, uint16_t* y, int64_t count, float scale, const float* levels, const float* bounds);
ONNXQ_DECLARE(baseline)
ONNXQ_DECLARE(avx2)
ONNXQ_DECLARE(avx512)
#undef ONNXQ_DECLARE

// CUDA: x is [outer, channels, inner]; launches on `stream`; returns a cudaError_t.
int codebook_cuda_f32(const void* x, void* y, int64_t outer, int64_t channels, int64_t inner, CodebookParameters parameters, void* stream);
int codebook_cuda_f16(const void* x, void* y, int64_t outer, int64_t channels, int64_t inner, CodebookParameters parameters, void* stream);

}  // namespace onnxq
