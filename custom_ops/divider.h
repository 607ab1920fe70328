// Division by a number that is known when a kernel is launched: a multiplication and a shift in place of the division.
#pragma once

#include <stdint.h>

#include "arithmetic.h"

namespace onnxq {

constexpr int64_t kDividerLimit = int64_t{1} << 31;  // of numerators and divisors

// Exact for 0 <= n < 2^31 and 1 <= divisor < 2^31: with s = ceil(log2(divisor)) and m = ceil(2^(31 + s) / divisor),
// n * m / 2^(31 + s) exceeds n / divisor by less than 2^-s <= 1 / divisor. m has 32 bits.
struct Divider {
  uint32_t divisor;
  uint32_t multiplier;
  uint32_t shift;

  ONNXQ_HD_MEMBER uint32_t quotient(uint32_t n) const {
    return static_cast<uint32_t>((static_cast<uint64_t>(n) * multiplier) >> shift);
  }
  ONNXQ_HD_MEMBER uint32_t remainder(uint32_t n) const { return n - quotient(n) * divisor; }
};

inline Divider divider_of(int64_t divisor) {
  uint32_t log2 = 0;
  while ((int64_t{1} << log2) < divisor) ++log2;
  const uint64_t power = uint64_t{1} << (31 + log2);
  const uint64_t multiplier = (power + static_cast<uint64_t>(divisor) - 1) / static_cast<uint64_t>(divisor);
  return {static_cast<uint32_t>(divisor), static_cast<uint32_t>(multiplier), 31 + log2};
}

}  // namespace onnxq
