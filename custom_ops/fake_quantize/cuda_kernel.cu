#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "arithmetic.h"
#include "fake_quantize/kernels.h"

namespace onnxq {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 1 << 16;

__device__ __forceinline__ float load(float value) { return value; }
__device__ __forceinline__ float load(__half value) { return __half2float(value); }
template <typename T>
__device__ __forceinline__ T store(float value);
template <>
__device__ __forceinline__ float store<float>(float value) { return value; }
template <>
__device__ __forceinline__ __half store<__half>(float value) { return __float2half_rn(value); }

// kWidth values in one access of 16 bytes or fewer.
template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T value[kWidth];
};

__device__ __forceinline__ UniformGrid grid_of(const FakeQuantizeParameters& p, int64_t channel) {
  return UniformGrid{p.scale[p.scale_per_channel ? channel : 0], p.zero_point[p.zero_point_per_channel ? channel : 0],
                     top_code(p.bits[p.bits_per_channel ? channel : 0])};
}

// One thread takes kWidth consecutive values of one channel at a time (inner is a multiple of kWidth).
template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads)
    fake_quantize_kernel(const Pack<T, kWidth>* __restrict__ x, Pack<T, kWidth>* __restrict__ y, int64_t packs,
                         int64_t packs_per_plane, int64_t channels, FakeQuantizeParameters parameters) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < packs; i += stride) {
    const Pack<T, kWidth> in = x[i];
    const UniformGrid grid = grid_of(parameters, (i / packs_per_plane) % channels);
    Pack<T, kWidth> out;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) out.value[j] = store<T>(fake_quantize(load(in.value[j]), grid));
    y[i] = out;
  }
}

template <typename T, int kWidth>
void launch_width(const void* x, void* y, FakeQuantizeShape shape, const FakeQuantizeParameters& parameters,
                  cudaStream_t stream) {
  const int64_t packs = shape.outer * shape.channels * shape.inner / kWidth;
  const int64_t wanted = (packs + kThreads - 1) / kThreads;
  const int blocks = static_cast<int>(wanted < kMaxBlocks ? wanted : kMaxBlocks);
  fake_quantize_kernel<T, kWidth><<<blocks, kThreads, 0, stream>>>(
      static_cast<const Pack<T, kWidth>*>(x), static_cast<Pack<T, kWidth>*>(y), packs, shape.inner / kWidth,
      shape.channels, parameters);
}

template <typename T>
int launch(const void* x, void* y, FakeQuantizeShape shape, const FakeQuantizeParameters& parameters, void* stream) {
  if (shape.outer * shape.channels * shape.inner == 0) return cudaSuccess;
  constexpr int kWidth = 16 / sizeof(T);
  const bool aligned = (reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y)) % 16 == 0;
  const auto cuda_stream = static_cast<cudaStream_t>(stream);
  if (aligned && shape.inner % kWidth == 0)
    launch_width<T, kWidth>(x, y, shape, parameters, cuda_stream);
  else
    launch_width<T, 1>(x, y, shape, parameters, cuda_stream);
  return cudaGetLastError();
}

}  // namespace

int fake_quantize_cuda_f32(const void* x, void* y, FakeQuantizeShape shape, FakeQuantizeParameters parameters, void* stream) {
  return launch<float>(x, y, shape, parameters, stream);
}

int fake_quantize_cuda_f16(const void* x, void* y, FakeQuantizeShape shape, FakeQuantizeParameters parameters, void* stream) {
  return launch<__half>(x, y, shape, parameters, stream);
}

}  // namespace onnxq
