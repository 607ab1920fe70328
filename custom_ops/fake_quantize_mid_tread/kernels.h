#pragma once

#include "arithmetic.h"
#include "elementwise_kernels.h"

namespace onnxq {

// Each is per channel, or one value for all.
struct MidTreadParameters {
  const float* scale;
  const float* first;
  const float* last;
  bool scale_per_channel;
  bool first_per_channel;
  bool last_per_channel;
};

struct MidTreadFunction {
  float scale, first, last;
  ONNXQ_HD_MEMBER float operator()(float x) const { return mid_tread(x, scale, first, last); }
};

ONNXQ_HD MidTreadFunction function_of(const MidTreadParameters& p, int64_t channel) {
  return {p.scale[p.scale_per_channel ? channel : 0], p.first[p.first_per_channel ? channel : 0],
          p.last[p.last_per_channel ? channel : 0]};
}

ONNXQ_DECLARE_ELEMENTWISE(mid_tread, MidTreadParameters)

}  // namespace onnxq
