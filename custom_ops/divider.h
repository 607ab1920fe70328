// Division by a number that is known when a kernel is launched: a multiplication and a shift in place of the division.
#pragma once

#include <stdint.h>

#include "arithmetic.h"

namespace onnxq {

#ifndef ONNXQ_DIVIDER_LIMIT  // tests have less, so that small tensors count as large ones
#define ONNXQ_DIVIDER_LIMIT (int64_t{1} << 31)
#endif
constexpr int64_t kDividerLimit = ONNXQ_DIVIDER_LIMIT;  // of numerators and divisors

// Exact for 0 <= n < 2^31 and 1 <= divisor < 2^31: with s = ceil(log2(divisor)) and m = ceil(2^(31 + s) / divisor),
// n * m / 2^(31 + s) exceeds n / divisor by less than 2^-s <= 1 / divisor. m has 32 bits.
struct Divider {
  using Number = uint32_t;
  uint32_t divisor;
  uint32_t multiplier;
  uint32_t shift;

  explicit Divider(int64_t by) : divisor(static_cast<uint32_t>(by)) {
    uint32_t log2 = 0;
    while ((int64_t{1} << log2) < by) ++log2;
    shift = 31 + log2;
    multiplier = static_cast<uint32_t>(((uint64_t{1} << shift) + divisor - 1) / divisor);
  }
  ONNXQ_HD_MEMBER uint32_t quotient(uint32_t n) const {
    return static_cast<uint32_t>((static_cast<uint64_t>(n) * multiplier) >> shift);
  }
  ONNXQ_HD_MEMBER uint32_t remainder(uint32_t n) const { return n - quotient(n) * divisor; }
};

// The same for larger numbers, by division.
struct LargeDivider {
  using Number = int64_t;
  int64_t divisor;

  explicit LargeDivider(int64_t by) : divisor(by) {}
  ONNXQ_HD_MEMBER int64_t quotient(int64_t n) const { return n / divisor; }
  ONNXQ_HD_MEMBER int64_t remainder(int64_t n) const { return n % divisor; }
};

}  // namespace onnxq
