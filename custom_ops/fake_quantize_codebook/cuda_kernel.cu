#include "arithmetic.h"
#include "elementwise.cuh"
#include "fake_quantize_codebook/kernels.h"

namespace onnxq {
namespace {

constexpr size_t kSharedBytes = (kMaxLevels + kCodebookBounds) * sizeof(float);

struct Quantizer {
  float scale;
  const float* levels;
  const float* bounds;
  __device__ __forceinline__ float operator()(float x) const { return nearest_level(x, scale, levels, bounds); }
};

// Levels and the bounds between them lie in shared memory: levels first.
struct Operator {
  CodebookParameters p;
  __device__ __forceinline__ void prepare(float* shared) const {
    for (int i = static_cast<int>(threadIdx.x); i < kMaxLevels; i += kThreads)
      shared[i] = p.levels[i < p.count ? i : p.count - 1];
    for (int i = static_cast<int>(threadIdx.x); i < kCodebookBounds; i += kThreads)
      shared[kMaxLevels + i] = codebook_bound(p.levels, p.count, i);
    __syncthreads();
  }
  __device__ __forceinline__ Quantizer at(int64_t channel, const float* shared) const {
    return {p.scale[p.scale_per_channel ? channel : 0], shared, shared + kMaxLevels};
  }
};

}  // namespace

int codebook_cuda_f32(const void* x, void* y, int64_t outer, int64_t channels, int64_t inner,
                      CodebookParameters parameters, void* stream) {
  return launch_elementwise<float>(x, y, outer, channels, inner, Operator{parameters}, kSharedBytes, stream);
}

int codebook_cuda_f16(const void* x, void* y, int64_t outer, int64_t channels, int64_t inner,
                      CodebookParameters parameters, void* stream) {
  return launch_elementwise<__half>(x, y, outer, channels, inner, Operator{parameters}, kSharedBytes, stream);
}

}  // namespace onnxq
