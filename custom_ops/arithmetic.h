// The arithmetic of every operator, once, for host and device.
//
// float32 throughout, IEEE 754, no contraction into fused multiply-adds, no flush to zero: the kernels
// must equal the operators' function bodies bit for bit. Compile with -ffp-contract=off (-fmad=false).
#pragma once

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define ONNXQ_HD __host__ __device__ __forceinline__
#define ONNXQ_HD_MEMBER __host__ __device__ __forceinline__
#else
#include <math.h>
#define ONNXQ_HD static inline __attribute__((always_inline))
#define ONNXQ_HD_MEMBER inline __attribute__((always_inline))
#endif

namespace onnxq {

// x / scale, rounded to nearest.
//
// CUDA's division takes a detour of a hundred instructions where x is 0, which half of what a ReLU makes is; a zero
// divided by a positive number is itself.
ONNXQ_HD float quotient_of(float x, float scale) {
#if defined(__CUDACC__) || defined(ONNXQ_CUDA_ON_HOST)
  const bool zero = x == 0.0f && scale > 0.0f;
  const float quotient = (zero ? 1.0f : x) / scale;
  return zero ? x : quotient;
#else
  return x / scale;
#endif
}

// ---- FakeQuantize ------------------------------------------------------------------------------

struct UniformGrid {
  float scale;
  float zero_point;
  float top;  // 2^bits - 1
};

ONNXQ_HD float top_code(int32_t bits) { return ldexpf(1.0f, bits) - 1.0f; }

// (clamp(round_half_even(x / scale) + zero_point, 0, top) - zero_point) * scale; NaN stays NaN.
ONNXQ_HD float fake_quantize(float x, UniformGrid grid) {
  float code = rintf(quotient_of(x, grid.scale)) + grid.zero_point;
  code = code < 0.0f ? 0.0f : code;  // comparisons with NaN are false
  code = code > grid.top ? grid.top : code;
  return (code - grid.zero_point) * grid.scale;
}

// ---- FakeQuantizeMidTread ------------------------------------------------------------------------

// clamp(round_half_even(x / scale), first, last) * scale; NaN stays NaN.
ONNXQ_HD float mid_tread(float x, float scale, float first, float last) {
  float code = rintf(quotient_of(x, scale));
  code = code < first ? first : code;
  code = code > last ? last : code;
  return code * scale;
}

// ---- FakeQuantizeFixedPoint ----------------------------------------------------------------------

enum class Rounding : int32_t { half_even, half_up, floor };
enum class Overflow : int32_t { saturate, wrap };

// Codes lie in -half .. half - 1.
struct FixedPointFormat {
  float half;   // 2^(total_bits - 1)
  float turns;  // 2^-total_bits, of the whole range in 1
  Rounding rounding;
  Overflow overflow;
};

inline FixedPointFormat fixed_point_format(int32_t total_bits, Rounding rounding, Overflow overflow) {
  return {ldexpf(1.0f, total_bits - 1), ldexpf(1.0f, -total_bits), rounding, overflow};
}

// Exact: no sum is rounded (floor(x + 0.5) would be wrong for 0.49999997).
ONNXQ_HD float round_to(float x, Rounding rounding) {
  if (rounding == Rounding::half_even) return rintf(x);
  const float below = floorf(x);
  return rounding == Rounding::half_up && x - below >= 0.5f ? below + 1.0f : below;
}

// An integral code into the format's range. Infinite codes saturate either way.
ONNXQ_HD float into_range(float code, FixedPointFormat format) {
  const float half = format.half;
  if (format.overflow == Overflow::wrap && code - code == 0.0f) {
    const float turns = code * format.turns;
    const float rest = (turns - floorf(turns)) * (2.0f * half);
    return rest >= half ? rest - 2.0f * half : rest;
  }
  code = code < -half ? -half : code;
  return code > half - 1.0f ? half - 1.0f : code;
}

// -bits; the one number that has no opposite gets the largest, which makes infinity of a power of two as well.
ONNXQ_HD int32_t negated(int32_t bits) { return bits == INT32_MIN ? INT32_MAX : -bits; }

// x on the grid of step 2^-fraction_bits; NaN stays NaN.
ONNXQ_HD float fixed_point(float x, float inverse_step, float step, FixedPointFormat format) {
  return into_range(round_to(x * inverse_step, format.rounding), format) * step;
}

// A sum of codes, exact in double, into the same range.
ONNXQ_HD float sum_into_range(double sum, FixedPointFormat format) {
  const double half = format.half;
  if (format.overflow == Overflow::wrap) sum -= 2.0 * half * floor((sum + half) * format.turns);
  sum = sum < -half ? -half : sum;
  return static_cast<float>(sum > half - 1.0 ? half - 1.0 : sum);
}

// ---- FakeQuantizeCodebook ------------------------------------------------------------------------

constexpr int32_t kMaxLevels = 256;
constexpr int32_t kCodebookBounds = kMaxLevels - 1;

// Bound i between level i and the next, +Inf beyond the last level.
ONNXQ_HD float codebook_bound(const float* levels, int32_t count, int32_t i) {
  return i + 1 < count ? (levels[i] + levels[i + 1]) * 0.5f : __builtin_inff();
}

// The level nearest to x / scale, times scale: the number of bounds below it is its index, found by halving.
// On a bound it is the lower level; NaN stays NaN. first_half: half of a power of two that is no smaller than their
// number.
ONNXQ_HD float nearest_level(float x, float scale, const float* levels, const float* bounds, int32_t first_half) {
  const float u = quotient_of(x, scale);
  int32_t index = 0;
  for (int32_t half = kMaxLevels / 2; half > 0; half /= 2)
    if (half <= first_half) index += u > bounds[index + half - 1] ? half : 0;
  return u == u ? levels[index] * scale : u;
}

// ---- Observe -----------------------------------------------------------------------------------

constexpr int kHalfBins = 128;
constexpr int kBins = 2 * kHalfBins;
constexpr int32_t kSmallestAnchor = -60;  // its logarithm of base 2; all are even
constexpr int32_t kLargestAnchor = 126;
constexpr float kSumUnit = 33554432.0f;     // 2^25
constexpr float kSquareUnit = 67108864.0f;  // 2^26

// 2^exponent, of normal numbers.
ONNXQ_HD float power_of_two(int32_t exponent) {
  const int32_t bits = (exponent + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return power;
}

// The logarithm of base 2 of a channel's anchor: the smallest power of four that is no smaller than `reach` >= 0,
// within the anchors that exist.
ONNXQ_HD int32_t anchor_of(float reach) {
  int32_t bits;
  memcpy(&bits, &reach, sizeof bits);
  int32_t exponent = (bits >> 23) - 127 + ((bits & 0x7fffff) != 0);  // rounded up
  exponent += exponent & 1;
  exponent = exponent < kSmallestAnchor ? kSmallestAnchor : exponent;
  return exponent > kLargestAnchor ? kLargestAnchor : exponent;
}

// Bin of x / anchor, which lies in [-1, 1]: kHalfBins.. upwards for x >= 0, kHalfBins - 1.. downwards for x < 0.
ONNXQ_HD int32_t bin_of(float scaled) {
  int32_t bin = static_cast<int32_t>(sqrtf(fabsf(scaled)) * static_cast<float>(kHalfBins));
  bin = bin < kHalfBins - 1 ? bin : kHalfBins - 1;
  return scaled < 0.0f ? kHalfBins - 1 - bin : kHalfBins + bin;
}

// One term of each sum, as an integer: sums of these are exact in any order.
ONNXQ_HD int32_t sum_term(float scaled) { return static_cast<int32_t>(rintf(scaled * kSumUnit)); }
ONNXQ_HD int32_t square_term(float scaled) { return static_cast<int32_t>(rintf(scaled * scaled * kSquareUnit)); }

// Integer totals to real units: exact, both factors are powers of two.
ONNXQ_HD double sum_of(int64_t total, float anchor) { return static_cast<double>(total) * anchor / kSumUnit; }
ONNXQ_HD double square_sum_of(int64_t total, float anchor) {
  return static_cast<double>(total) * (static_cast<double>(anchor) * anchor) / kSquareUnit;
}

// x / anchor in [-1, 1]: a value that is not finite counts as 0, one beyond the largest anchor as that.
ONNXQ_HD float scaled_of(float x, float inverse_anchor) {
  const float scaled = (x - x == 0.0f ? x : 0.0f) * inverse_anchor;
  return scaled > 1.0f ? 1.0f : scaled < -1.0f ? -1.0f : scaled;
}

ONNXQ_HD bool is_finite_bits(uint32_t bits) { return (bits & 0x7fffffffu) < 0x7f800000u; }

}  // namespace onnxq
