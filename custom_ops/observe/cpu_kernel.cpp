// Compiled once for each instruction set; the loops are written for the compiler to vectorize.
#include "observe/kernels.h"

#include "arithmetic.h"
#include "cpu_isa.h"

namespace onnxq {
namespace {

constexpr int64_t kBlock = 512;  // values whose bins are computed together before they are counted
constexpr int kTables = 4;       // separate tables: equal neighbours must not wait for each other's count

// Reductions run in independent lanes, which the compiler maps to vector registers: it may not reorder a
// float reduction by itself. Reordering changes nothing here: minima do not depend on order, the sums are exact.
constexpr int kLanes = 16;

struct Extremes {
  float lowest = __builtin_inff();
  float highest = -__builtin_inff();
  uint32_t largest_bits = 0;  // of |x|: tells whether all values are finite
};

uint32_t magnitude_bits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits & 0x7fffffffu;
}

void include(float value, Extremes& seen) {
  const uint32_t bits = magnitude_bits(value);
  seen.largest_bits = bits > seen.largest_bits ? bits : seen.largest_bits;
  seen.lowest = value < seen.lowest ? value : seen.lowest;
  seen.highest = value > seen.highest ? value : seen.highest;
}

void extremes_of(const float* __restrict x, int64_t count, Extremes& seen) {
  float lowest[kLanes], highest[kLanes];
  uint32_t largest_bits[kLanes];
  for (int j = 0; j < kLanes; ++j) lowest[j] = seen.lowest, highest[j] = seen.highest, largest_bits[j] = 0;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int j = 0; j < kLanes; ++j) {
      const float value = x[i + j];
      const uint32_t bits = magnitude_bits(value);
      largest_bits[j] = bits > largest_bits[j] ? bits : largest_bits[j];
      lowest[j] = value < lowest[j] ? value : lowest[j];
      highest[j] = value > highest[j] ? value : highest[j];
    }
  for (; i < count; ++i) include(x[i], seen);
  for (int j = 0; j < kLanes; ++j) {
    seen.lowest = lowest[j] < seen.lowest ? lowest[j] : seen.lowest;
    seen.highest = highest[j] > seen.highest ? highest[j] : seen.highest;
    seen.largest_bits = largest_bits[j] > seen.largest_bits ? largest_bits[j] : seen.largest_bits;
  }
}

// Extremes with NaN and Inf read as zero, for the rare channel that has them.
void extremes_of_cleaned(const float* x, int64_t count, Extremes& seen) {
  for (int64_t i = 0; i < count; ++i) include(is_finite_bits(magnitude_bits(x[i])) ? x[i] : 0.0f, seen);
}

// The histogram of up to kBlock values and their terms of the sums. kClean: they are known to be finite.
template <bool kClean>
void accumulate_block(const float* __restrict x, int64_t count, float inverse_anchor, double* __restrict sum,
                      double* __restrict sum_squares, int32_t* __restrict tables) {
  float scaled[kBlock];
  int32_t bin[kBlock];
  const int64_t padded = (count + kLanes - 1) / kLanes * kLanes;
  for (int64_t i = 0; i < count; ++i) {
    const float value = kClean || x[i] - x[i] == 0.0f ? x[i] : 0.0f;
    scaled[i] = value * inverse_anchor;  // exact: the anchor is a power of two
  }
  for (int64_t i = count; i < padded; ++i) scaled[i] = 0.0f;  // adds nothing to the sums; not counted
  for (int64_t i = 0; i < padded; i += kLanes)
    for (int j = 0; j < kLanes; ++j) {
      const double wide = scaled[i + j];
      sum[j] += fixed_point(wide);
      sum_squares[j] += fixed_point(wide * wide);
    }
  for (int64_t i = 0; i < padded; ++i) bin[i] = bin_of(scaled[i]);
  int64_t i = 0;
  for (; i + kTables <= count; i += kTables)
    for (int t = 0; t < kTables; ++t) ++tables[t * kBins + bin[i + t]];
  for (; i < count; ++i) ++tables[bin[i]];
}

}  // namespace

void ONNXQ_KERNEL(observe_channel)(const float* x, ObserveShape shape, int64_t channel, ObserveOutputs out) {
  const int64_t sample = shape.channels * shape.inner;
  const float* first = x + channel * shape.inner;

  Extremes seen;
  for (int64_t n = 0; n < shape.batch; ++n) extremes_of(first + n * sample, shape.inner, seen);
  const bool clean = is_finite_bits(seen.largest_bits);
  if (!clean) {
    seen = Extremes{};
    for (int64_t n = 0; n < shape.batch; ++n) extremes_of_cleaned(first + n * sample, shape.inner, seen);
  }
  const float reach = fmaxf(fabsf(seen.lowest), fabsf(seen.highest));
  const float anchor = anchor_of(reach);

  double sums[kLanes] = {}, sums_squares[kLanes] = {};
  int32_t tables[kTables * kBins] = {};
  const auto accumulate = clean ? accumulate_block<true> : accumulate_block<false>;
  for (int64_t n = 0; n < shape.batch; ++n)
    for (int64_t i = 0; i < shape.inner; i += kBlock) {
      const int64_t length = shape.inner - i < kBlock ? shape.inner - i : kBlock;
      accumulate(first + n * sample + i, length, 1.0f / anchor, sums, sums_squares, tables);
    }
  double sum = 0, sum_squares = 0;
  for (int j = 0; j < kLanes; ++j) sum += sums[j], sum_squares += sums_squares[j];

  const double wide = anchor;
  out.minimum[channel] = clean ? seen.lowest : __builtin_nanf("");
  out.maximum[channel] = clean ? seen.highest : __builtin_nanf("");
  out.sum[channel] = clean ? sum * wide / kFixedPoint : __builtin_nan("");
  out.sum_squares[channel] = clean ? sum_squares * (wide * wide) / kFixedPoint : __builtin_nan("");
  int32_t* row = out.histogram + channel * kBins;
  for (int b = 0; b < kBins; ++b) row[b] = tables[b] + tables[kBins + b] + tables[2 * kBins + b] + tables[3 * kBins + b];
}

}  // namespace onnxq
