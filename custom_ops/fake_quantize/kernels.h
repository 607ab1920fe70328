#pragma once

#include "arithmetic.h"
#include "elementwise_kernels.h"

namespace onnxq {

// Each is per channel, or one value for all.
struct FakeQuantizeParameters {
  const float* scale;
  const float* zero_point;
  const int32_t* bits;
  bool scale_per_channel;
  bool zero_point_per_channel;
  bool bits_per_channel;
};

struct FakeQuantizeFunction {
  UniformGrid grid;
  ONNXQ_HD_MEMBER float operator()(float x) const { return fake_quantize(x, grid); }
};

ONNXQ_HD FakeQuantizeFunction function_of(const FakeQuantizeParameters& p, int64_t channel) {
  return {UniformGrid{p.scale[p.scale_per_channel ? channel : 0], p.zero_point[p.zero_point_per_channel ? channel : 0],
                      top_code(p.bits[p.bits_per_channel ? channel : 0])}};
}

ONNXQ_DECLARE_ELEMENTWISE(fake_quantize, FakeQuantizeParameters)

}  // namespace onnxq
