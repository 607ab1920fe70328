#pragma once

#include "arithmetic.h"
#include "elementwise_kernels.h"

namespace onnxq {

// scale is per channel, or one value for all; levels are `count` ascending values. bounds: kCodebookBounds values
// (arithmetic.h), made by who launches the kernel, and so is first_half, where it is fewer than for kMaxLevels.
struct CodebookParameters {
  const float* scale;
  const float* levels;
  int32_t count;
  bool scale_per_channel;
  const float* bounds;
  int32_t first_half = kMaxLevels / 2;
};

struct CodebookFunction {
  float scale;
  const float* levels;
  const float* bounds;
  int32_t first_half;
  ONNXQ_HD_MEMBER float operator()(float x) const { return nearest_level(x, scale, levels, bounds, first_half); }
};

ONNXQ_HD CodebookFunction function_of(const CodebookParameters& p, int64_t channel) {
  return {p.scale[p.scale_per_channel ? channel : 0], p.levels, p.bounds, p.first_half};
}

ONNXQ_DECLARE_ELEMENTWISE(codebook, CodebookParameters)

}  // namespace onnxq
