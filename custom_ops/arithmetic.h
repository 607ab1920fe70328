// The arithmetic of every operator, once, for host and device.
//
// float32 throughout, IEEE 754, no contraction into fused multiply-adds, no flush to zero: the kernels
// must equal the operators' function bodies bit for bit. Compile with -ffp-contract=off (-fmad=false).
#pragma once

#include <stdint.h>

#ifdef __CUDACC__
#define ONNXQ_HD __host__ __device__ __forceinline__
#else
#include <math.h>
#define ONNXQ_HD static inline __attribute__((always_inline))
#endif

namespace onnxq {

// ---- FakeQuantize ------------------------------------------------------------------------------

struct UniformGrid {
  float scale;
  float zero_point;
  float top;  // 2^bits - 1
};

ONNXQ_HD float top_code(int32_t bits) { return ldexpf(1.0f, bits) - 1.0f; }

// (clamp(round_half_even(x / scale) + zero_point, 0, top) - zero_point) * scale; NaN stays NaN.
ONNXQ_HD float fake_quantize(float x, UniformGrid grid) {
  float code = rintf(x / grid.scale) + grid.zero_point;
  code = code < 0.0f ? 0.0f : code;  // comparisons with NaN are false
  code = code > grid.top ? grid.top : code;
  return (code - grid.zero_point) * grid.scale;
}

// ---- FakeQuantizeCodebook ------------------------------------------------------------------------

constexpr int32_t kMaxLevels = 256;
constexpr int32_t kCodebookBounds = kMaxLevels - 1;

// Bound i between level i and the next, +Inf beyond the last level.
ONNXQ_HD float codebook_bound(const float* levels, int32_t count, int32_t i) {
  return i + 1 < count ? (levels[i] + levels[i + 1]) * 0.5f : __builtin_inff();
}

// The level nearest to x / scale, times scale: the number of bounds below it is its index, found by halving.
// On a bound it is the lower level; NaN stays NaN.
ONNXQ_HD float nearest_level(float x, float scale, const float* levels, const float* bounds) {
  const float u = x / scale;
  int32_t index = 0;
  for (int32_t half = kMaxLevels / 2; half > 0; half /= 2) index += u > bounds[index + half - 1] ? half : 0;
  return u == u ? levels[index] * scale : u;
}

// ---- Observe -----------------------------------------------------------------------------------

constexpr int kHalfBins = 128;
constexpr int kBins = 2 * kHalfBins;
constexpr int kSmallestAnchorLog4 = -30;
constexpr int kLargestAnchorLog4 = 63;
constexpr float kSumUnit = 33554432.0f;     // 2^25
constexpr float kSquareUnit = 67108864.0f;  // 2^26

// The smallest power of four that is no smaller than `reach`, within the anchors that exist.
ONNXQ_HD float anchor_of(float reach) {
  float anchor = ldexpf(1.0f, 2 * kSmallestAnchorLog4);
  for (int log4 = kSmallestAnchorLog4; log4 < kLargestAnchorLog4 && reach > anchor; ++log4) anchor *= 4.0f;
  return anchor;
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
