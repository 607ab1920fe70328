// Declares the kernels of an elementwise operator `name`: for the CPU, of `count` consecutive values of one channel,
// once for each instruction set; for CUDA the launch on a stream, which returns a cudaError_t. No ONNX Runtime types
// here.
#pragma once

#include "channel_shape.h"

#define ONNXQ_DECLARE_CPU(name, Parameters, isa)                                                                 \
  void name##_f32_##isa(const float* x, float* y, int64_t count, int64_t channel, const Parameters& parameters); \
  void name##_f16_##isa(const uint16_t* x, uint16_t* y, int64_t count, int64_t channel, const Parameters& parameters);

#define ONNXQ_DECLARE_ELEMENTWISE(name, Parameters)                                                     \
  ONNXQ_DECLARE_CPU(name, Parameters, baseline)                                                         \
  ONNXQ_DECLARE_CPU(name, Parameters, avx2)                                                             \
  ONNXQ_DECLARE_CPU(name, Parameters, avx512)                                                           \
  int name##_cuda_f32(const void* x, void* y, ChannelShape shape, Parameters parameters, void* stream); \
  int name##_cuda_f16(const void* x, void* y, ChannelShape shape, Parameters parameters, void* stream);

// Defines the CPU kernels of one instruction set from `make`, which gives a function of float to float for a channel.
// y may be x: every value is read before it is written, which is what the pragma tells the compiler, so that it
// vectorizes.
#define ONNXQ_DEFINE_CPU(name, Parameters, make)                                                \
  void ONNXQ_KERNEL(name##_f32)(const float* x, float* y, int64_t count, int64_t channel,       \
                                const Parameters& parameters) {                                 \
    const auto function = make(parameters, channel);                                            \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < count; ++i) y[i] = function(x[i]);             \
  }                                                                                             \
  void ONNXQ_KERNEL(name##_f16)(const uint16_t* x, uint16_t* y, int64_t count, int64_t channel, \
                                const Parameters& parameters) {                                 \
    const auto function = make(parameters, channel);                                            \
    const _Float16* in = reinterpret_cast<const _Float16*>(x);                                  \
    _Float16* out = reinterpret_cast<_Float16*>(y);                                             \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < count; ++i) out[i] =                           \
        static_cast<_Float16>(function(static_cast<float>(in[i])));                             \
  }
