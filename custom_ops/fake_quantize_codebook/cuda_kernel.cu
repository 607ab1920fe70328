#include "elementwise.cuh"
#include "fake_quantize_codebook/kernels.h"

namespace onnxq {
namespace {

constexpr size_t kSharedBytes = (kMaxLevels + kCodebookBounds) * sizeof(float);

// Levels and the bounds between them lie in shared memory: levels first.
struct CodebookOperator {
  CodebookParameters parameters;

  __device__ __forceinline__ void prepare(float* shared) {
    for (int i = static_cast<int>(threadIdx.x); i < kMaxLevels; i += kThreads)
      shared[i] = parameters.levels[i < parameters.count ? i : parameters.count - 1];
    for (int i = static_cast<int>(threadIdx.x); i < kCodebookBounds; i += kThreads)
      shared[kMaxLevels + i] = codebook_bound(parameters.levels, parameters.count, i);
    __syncthreads();
    parameters.levels = shared;
    parameters.bounds = shared + kMaxLevels;
  }
  __device__ __forceinline__ CodebookFunction at(int64_t channel) const { return function_of(parameters, channel); }
};

}  // namespace

ONNXQ_DEFINE_CUDA(codebook, CodebookParameters, CodebookOperator, kSharedBytes)

}  // namespace onnxq
