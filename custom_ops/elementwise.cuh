// CUDA launch of y = f(channel)(x) for elementwise operators: 16-byte accesses where the layout allows them. y may be
// x: a thread reads what it will write, and nothing else.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include "channel_shape.h"
#include "divider.h"
#include "launch.cuh"

namespace onnxq {

constexpr int kThreads = 256;
constexpr int kPacksAThread = 4;  // in flight at once: one load of 16 bytes a thread does not hide the memory's latency

__device__ __forceinline__ float load(float value) { return value; }
__device__ __forceinline__ float load(__half value) { return __half2float(value); }
template <typename T>
__device__ __forceinline__ T store(float value);
template <>
__device__ __forceinline__ float store<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half store<__half>(float value) {
  return __float2half_rn(value);
}

// kWidth values in one access of 16 bytes or fewer.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T value[kWidth];
};

// The channel of a pack, for tensors of fewer than 2^31 packs and for larger ones.
struct Channels32 {
  using Index = uint32_t;
  Divider packs_per_plane, channels;
  __device__ __forceinline__ int64_t operator()(Index pack) const {
    return channels.remainder(packs_per_plane.quotient(pack));
  }
};

struct Channels64 {
  using Index = int64_t;
  int64_t packs_per_plane, channels;
  __device__ __forceinline__ int64_t operator()(Index pack) const { return pack / packs_per_plane % channels; }
};

// One thread takes kPacksAThread packs of kWidth consecutive values of one channel at a time (inner is a multiple of
// kWidth). Operator: prepare() once a block, at(channel) gives a function float -> float.
template <typename T, int kWidth, typename Channels, typename Operator>
__global__ void __launch_bounds__(kThreads)
    elementwise_kernel(const Pack<T, kWidth>* x, Pack<T, kWidth>* y, int64_t packs, Channels channel_of, Operator op) {
  op.prepare();
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; first < packs;
       first += stride * kPacksAThread) {
    Pack<T, kWidth> pack[kPacksAThread];
#pragma unroll
    for (int p = 0; p < kPacksAThread; ++p)
      if (first + p * stride < packs) pack[p] = x[first + p * stride];
#pragma unroll
    for (int p = 0; p < kPacksAThread; ++p) {
      const int64_t i = first + p * stride;
      if (i >= packs) break;
      const auto function = op.at(channel_of(static_cast<typename Channels::Index>(i)));
#pragma unroll
      for (int j = 0; j < kWidth; ++j) pack[p].value[j] = store<T>(function(load(pack[p].value[j])));
      y[i] = pack[p];
    }
  }
}

// An operator that needs nothing but its parameters.
template <typename Parameters>
struct PlainOperator {
  Parameters parameters;
  __device__ __forceinline__ void prepare() {}
  __device__ __forceinline__ auto at(int64_t channel) const { return function_of(parameters, channel); }
};

template <typename T, int kWidth, typename Operator>
cudaError_t launch_width(const void* x, void* y, const ChannelShape& shape, const Operator& op, void* stream) {
  const int64_t packs = shape.size() / kWidth, packs_per_plane = shape.inner / kWidth;
  const auto with = [&](auto channel_of) {
    return launch(elementwise_kernel<T, kWidth, decltype(channel_of), Operator>,
                  turning_blocks_for(packs, kThreads * kPacksAThread), 1, kThreads, stream,
                  static_cast<const Pack<T, kWidth>*>(x), static_cast<Pack<T, kWidth>*>(y), packs, channel_of, op);
  };
  if (packs < kDividerLimit) return with(Channels32{divider_of(packs_per_plane), divider_of(shape.channels)});
  return with(Channels64{packs_per_plane, shape.channels});
}

// Launches on `stream`; returns a cudaError_t.
template <typename T, typename Operator>
int launch_elementwise(const void* x, void* y, const ChannelShape& shape, const Operator& op, void* stream) {
  if (shape.size() == 0) return cudaSuccess;
  constexpr int kWidth = 16 / sizeof(T);
  const bool aligned = (reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y)) % 16 == 0;
  if (aligned && shape.inner % kWidth == 0) return launch_width<T, kWidth>(x, y, shape, op, stream);
  return launch_width<T, 1>(x, y, shape, op, stream);
}

// Defines what ONNXQ_DECLARE_ELEMENTWISE declares for CUDA.
#define ONNXQ_DEFINE_CUDA(name, Parameters, Operator)                                                    \
  int name##_cuda_f32(const void* x, void* y, ChannelShape shape, Parameters parameters, void* stream) { \
    return launch_elementwise<float>(x, y, shape, Operator{parameters}, stream);                         \
  }                                                                                                      \
  int name##_cuda_f16(const void* x, void* y, ChannelShape shape, Parameters parameters, void* stream) { \
    return launch_elementwise<__half>(x, y, shape, Operator{parameters}, stream);                        \
  }

}  // namespace onnxq
