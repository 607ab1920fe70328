// The attributes total_bits, rounding and overflow of the fixed-point operators.
#pragma once

#include "arithmetic.h"
#include "op_base.h"

namespace onnxq {

inline FixedPointFormat read_format(const OrtKernelInfo* raw, const char* op) {
  const Ort::ConstKernelInfo info(raw);
  const auto total_bits = info.GetAttribute<int64_t>("total_bits");
  const auto rounding = info.GetAttribute<int64_t>("rounding");
  const auto overflow = info.GetAttribute<int64_t>("overflow");
  if (total_bits < 2 || total_bits > 16) fail(op, "total_bits must lie between 2 and 16");
  if (rounding < 0 || rounding > 2) fail(op, "rounding must be 0 (half to even), 1 (half up) or 2 (floor)");
  if (overflow < 0 || overflow > 1) fail(op, "overflow must be 0 (saturate) or 1 (wrap)");
  return fixed_point_format(static_cast<int32_t>(total_bits), static_cast<Rounding>(rounding),
                            static_cast<Overflow>(overflow));
}

}  // namespace onnxq
