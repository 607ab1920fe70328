#pragma once

#include "arithmetic.h"
#include "elementwise_kernels.h"

namespace onnxq {

// fraction_bits is per channel, or one value for all.
struct FixedPointParameters {
  const int32_t* fraction_bits;
  bool per_channel;
  FixedPointFormat format;
};

struct FixedPointFunction {
  float inverse_step, step;
  FixedPointFormat format;
  ONNXQ_HD_MEMBER float operator()(float x) const { return fixed_point(x, inverse_step, step, format); }
};

ONNXQ_HD FixedPointFunction function_of(const FixedPointParameters& p, int64_t channel) {
  const int32_t fraction_bits = p.fraction_bits[p.per_channel ? channel : 0];
  return {ldexpf(1.0f, fraction_bits), ldexpf(1.0f, negated(fraction_bits)), p.format};
}

ONNXQ_DECLARE_ELEMENTWISE(fixed_point, FixedPointParameters)

}  // namespace onnxq
