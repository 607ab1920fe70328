#include "elementwise.cuh"
#include "fake_quantize_codebook/kernels.h"

namespace onnxq {
namespace {

// Levels and the bounds between them lie in shared memory.
struct CodebookOperator {
  CodebookParameters parameters;

  __device__ __forceinline__ void prepare() {
    __shared__ float levels[kMaxLevels], bounds[kCodebookBounds];
    for (int i = static_cast<int>(threadIdx.x); i < kMaxLevels; i += kThreads)
      levels[i] = parameters.levels[i < parameters.count ? i : parameters.count - 1];
    for (int i = static_cast<int>(threadIdx.x); i < kCodebookBounds; i += kThreads)
      bounds[i] = codebook_bound(parameters.levels, parameters.count, i);
    __syncthreads();
    parameters.levels = levels;
    parameters.bounds = bounds;
    parameters.first_half = 1;
    while (2 * parameters.first_half < parameters.count) parameters.first_half *= 2;
  }
  __device__ __forceinline__ CodebookFunction at(int64_t channel) const { return function_of(parameters, channel); }
};

}  // namespace

ONNXQ_DEFINE_CUDA(codebook, CodebookParameters, CodebookOperator)

}  // namespace onnxq
