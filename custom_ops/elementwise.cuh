// CUDA launch of y = f(channel)(x) for elementwise operators: packs of 16 bytes, whatever the size of a plane. y may be
// x: a thread reads what it will write, and nothing else.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include <algorithm>
#include <type_traits>

#include "channel_shape.h"
#include "divider.h"
#include "launch.cuh"

namespace onnxq {

constexpr int kThreads = 256;
constexpr int kPacks = 4;  // in flight a thread: one load of 16 bytes does not hide the memory's latency

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

// The values of a tensor: `head` of them before the first pack, the rest behind the last.
struct Extent {
  int64_t size, head, packs;
};

// The channels of values by their index. (Number: 32 bits, or 64 for large tensors.)
template <typename DividerType>
struct Channels {
  using Number = typename DividerType::Number;
  DividerType inner, channels;

  Channels(const ChannelShape& shape) : inner(shape.inner), channels(shape.channels) {}
  __device__ __forceinline__ Number of_plane(Number plane) const { return channels.remainder(plane); }
  __device__ __forceinline__ Number of_value(Number index) const { return of_plane(inner.quotient(index)); }
};

// y = f(x) for the pack that begins at value `first`. kCrossing: it may have values of several planes.
template <bool kCrossing, typename T, int kWidth, typename Channels, typename Operator>
__device__ __forceinline__ void apply(Pack<T, kWidth>& pack, typename Channels::Number first, const Channels& channels,
                                      const Operator& op) {
  using Number = typename Channels::Number;
  const Number plane = channels.inner.quotient(first);
  Number channel = channels.of_plane(plane), left = (plane + 1) * channels.inner.divisor - first;  // in the plane
  auto function = op.at(channel);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) {
    if (kCrossing && left == 0) {
      channel = channel + 1 == channels.channels.divisor ? 0 : channel + 1;
      left = channels.inner.divisor;
      function = op.at(channel);
    }
    --left;
    pack.value[j] = store<T>(function(load(pack.value[j])));
  }
}

// A thread takes several packs at a time. Operator: prepare() once a block, at(channel) gives a function
// float -> float.
template <bool kCrossing, typename T, int kWidth, typename Channels, typename Operator>
__global__ void __launch_bounds__(kThreads)
    elementwise_kernel(const T* x, T* y, Extent extent, Channels channels, Operator op) {
  using Number = typename Channels::Number;
  op.prepare();
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (thread < extent.size - extent.packs * kWidth) {
    const int64_t i = thread < extent.head ? thread : thread + extent.packs * kWidth;
    y[i] = store<T>(op.at(channels.of_value(static_cast<Number>(i)))(load(x[i])));
  }
  const auto* from = reinterpret_cast<const Pack<T, kWidth>*>(x + extent.head);
  auto* to = reinterpret_cast<Pack<T, kWidth>*>(y + extent.head);
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t first = thread; first < extent.packs; first += stride * kPacks) {
    Pack<T, kWidth> pack[kPacks];
#pragma unroll
    for (int p = 0; p < kPacks; ++p)
      if (first + p * stride < extent.packs) pack[p] = from[first + p * stride];
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
      const int64_t i = first + p * stride;
      if (i < extent.packs) apply<kCrossing>(pack[p], static_cast<Number>(extent.head + i * kWidth), channels, op);
    }
#pragma unroll
    for (int p = 0; p < kPacks; ++p)
      if (first + p * stride < extent.packs) to[first + p * stride] = pack[p];
  }
}

// An operator that needs nothing but its parameters.
template <typename Parameters>
struct PlainOperator {
  Parameters parameters;
  __device__ __forceinline__ void prepare() {}
  __device__ __forceinline__ auto at(int64_t channel) const { return function_of(parameters, channel); }
};

template <bool kCrossing, typename T, int kWidth, typename Channels, typename Operator>
cudaError_t launch_on(const T* x, T* y, const Extent& extent, const Channels& channels, const Operator& op,
                      void* stream) {
  constexpr auto kernel = elementwise_kernel<kCrossing, T, kWidth, Channels, Operator>;
  int64_t at_once = 0;
  const cudaError_t error = blocks_at_once<kernel>(kThreads, &at_once);
  if (error != cudaSuccess) return error;
  const int64_t blocks = std::max<int64_t>(1, blocks_for(extent.packs, kThreads));
  return launch(kernel, std::min(blocks, at_once), 1, kThreads, stream, x, y, extent, channels, op);
}

template <typename T, typename Channels, typename Operator>
cudaError_t launch_with(const T* x, T* y, const ChannelShape& shape, const Operator& op, void* stream) {
  constexpr int kWidth = 16 / sizeof(T);
  const Channels channels(shape);
  const int64_t size = shape.size();
  const auto start = reinterpret_cast<uintptr_t>(x), target = reinterpret_cast<uintptr_t>(y);
  if (start % 16 != target % 16) return launch_on<false, T, 1>(x, y, {size, 0, size}, channels, op, stream);
  const int64_t head = std::min<int64_t>(size, (16 - start % 16) % 16 / sizeof(T));
  const Extent extent{size, head, (size - head) / kWidth};
  if constexpr (std::is_same_v<typename Channels::Number, uint32_t>)  // of 64 bits, it would spill registers
    if (head == 0 && shape.inner % kWidth == 0) return launch_on<false, T, kWidth>(x, y, extent, channels, op, stream);
  return launch_on<true, T, kWidth>(x, y, extent, channels, op, stream);
}

// Launches on `stream`; returns a cudaError_t.
template <typename T, typename Operator>
int launch_elementwise(const void* x, void* y, const ChannelShape& shape, const Operator& op, void* stream) {
  if (shape.size() == 0) return cudaSuccess;
  const auto* from = static_cast<const T*>(x);
  auto* to = static_cast<T*>(y);
  if (shape.size() < kDividerLimit) return launch_with<T, Channels<Divider>>(from, to, shape, op, stream);
  return launch_with<T, Channels<LargeDivider>>(from, to, shape, op, stream);
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
