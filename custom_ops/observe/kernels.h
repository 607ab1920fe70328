// Kernels of Observe. Parameters are plain pointers: no ONNX Runtime types here.
#pragma once

#include <stdint.h>

namespace onnxq {

// x is [batch, channels, inner], contiguous.
struct ObserveShape {
  int64_t batch;
  int64_t channels;
  int64_t inner;
};

struct ObserveOutputs {
  float* minimum;       // [channels]
  float* maximum;       // [channels]
  double* sum;          // [channels]
  double* sum_squares;  // [channels]
  int32_t* histogram;   // [channels, kBins]
};

// CPU: one channel.
#define ONNXQ_DECLARE(isa) \
  void observe_channel_##isa(const float* x, ObserveShape shape, int64_t channel, ObserveOutputs out);
ONNXQ_DECLARE(baseline)
ONNXQ_DECLARE(avx2)
ONNXQ_DECLARE(avx512)
#undef ONNXQ_DECLARE

// CUDA: launches on `stream`; returns a cudaError_t.
int observe_cuda(const float* x, ObserveShape shape, ObserveOutputs out, void* stream);

}  // namespace onnxq
