#include "arithmetic.h"
#include "elementwise.cuh"
#include "fake_quantize/kernels.h"

namespace onnxq {
namespace {

struct Quantizer {
  UniformGrid grid;
  __device__ __forceinline__ float operator()(float x) const { return fake_quantize(x, grid); }
};

struct Operator {
  FakeQuantizeParameters p;
  __device__ __forceinline__ void prepare(float*) const {}
  __device__ __forceinline__ Quantizer at(int64_t channel, const float*) const {
    return {UniformGrid{p.scale[p.scale_per_channel ? channel : 0],
                        p.zero_point[p.zero_point_per_channel ? channel : 0],
                        top_code(p.bits[p.bits_per_channel ? channel : 0])}};
  }
};

}  // namespace

int fake_quantize_cuda_f32(const void* x, void* y, int64_t outer, int64_t channels, int64_t inner,
                           FakeQuantizeParameters parameters, void* stream) {
  return launch_elementwise<float>(x, y, outer, channels, inner, Operator{parameters}, 0, stream);
}

int fake_quantize_cuda_f16(const void* x, void* y, int64_t outer, int64_t channels, int64_t inner,
                           FakeQuantizeParameters parameters, void* stream) {
  return launch_elementwise<__half>(x, y, outer, channels, inner, Operator{parameters}, 0, stream);
}

}  // namespace onnxq
