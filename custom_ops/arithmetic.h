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

// ---- Observe -----------------------------------------------------------------------------------

constexpr int kHalfBins = 128;
constexpr int kBins = 2 * kHalfBins;
constexpr int kSmallestAnchorLog4 = -30;
constexpr int kLargestAnchorLog4 = 63;
constexpr double kFixedPoint = 1073741824.0;  // 2^30

// The smallest power of four that is no smaller than `reach`, within the anchors that exist.
ONNXQ_HD float anchor_of(float reach) {
  float anchor = ldexpf(1.0f, 2 * kSmallestAnchorLog4);
  for (int log4 = kSmallestAnchorLog4; log4 < kLargestAnchorLog4 && reach > anchor; ++log4) anchor *= 4.0f;
  return anchor;
}

// Bin of x / anchor: kHalfBins.. upwards for x >= 0, kHalfBins - 1.. downwards for x < 0.
ONNXQ_HD int32_t bin_of(float scaled) {
  float bin = floorf(sqrtf(fabsf(scaled)) * static_cast<float>(kHalfBins));
  bin = bin < kHalfBins - 1 ? bin : static_cast<float>(kHalfBins - 1);
  float place = scaled < 0.0f ? kHalfBins - 1 - bin : kHalfBins + bin;
  return static_cast<int32_t>(place);
}

// One term of the sums, as a multiple of 2^-30 of the anchor: sums of these are exact in double.
ONNXQ_HD double fixed_point(double scaled) { return rint(scaled * kFixedPoint); }

ONNXQ_HD bool is_finite_bits(uint32_t bits) { return (bits & 0x7fffffffu) < 0x7f800000u; }

}  // namespace onnxq
