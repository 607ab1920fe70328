// Compiled once for each instruction set; the loops are written for the compiler to vectorize.
#include "arithmetic.h"
#include "cpu_isa.h"
#include "observe/kernels.h"

namespace onnxq {
namespace {

constexpr int64_t kBlock = 512;  // values whose bins are computed together before they are counted
constexpr int64_t kLanes = 16;   // sums that are added to in turn
constexpr int kTables = 4;       // separate tables: equal neighbours must not wait for each other's count

// Extremes as integers in the order of floats, -NaN < -Inf < ... < -0 < +0 < ... < +Inf < +NaN: unlike a float
// minimum, an integer one may be reordered, which lets the compiler vectorize it.
struct Extremes {
  int32_t lowest = INT32_MAX;
  int32_t highest = INT32_MIN;
};

constexpr int32_t kInfinity = 0x7f800000;

int32_t ordered(float value) {
  int32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

float from_ordered(int32_t key) {
  const int32_t bits = key ^ ((key >> 31) & 0x7fffffff);
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

bool all_finite(const Extremes& seen) { return seen.highest < kInfinity && seen.lowest > (kInfinity ^ -1); }

// kClean: NaN and Inf read as zero.
template <bool kClean>
void extremes_of(const float* __restrict x, int64_t count, Extremes& seen) {
  int32_t lowest = seen.lowest, highest = seen.highest;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t key = ordered(kClean && x[i] - x[i] != 0.0f ? 0.0f : x[i]);
    lowest = key < lowest ? key : lowest;
    highest = key > highest ? key : highest;
  }
  seen = {lowest, highest};
}

struct Totals {
  int64_t sum = 0;
  int64_t squares = 0;
};

// The histogram of up to kBlock values and their terms of the sums. kPlain: all are finite and within the anchor.
template <bool kPlain>
void accumulate_block(const float* __restrict x, int64_t count, float inverse_anchor, Totals& totals,
                      int32_t* __restrict tables) {
  // A lane adds kBlock / kLanes terms of at most 2^25 and 2^26: they fit into 32 bits.
  int32_t sums[kLanes] = {};
  uint32_t squares[kLanes] = {};
  int32_t bin[kBlock];
  const auto take = [&](int64_t i, int64_t lane) {
    const float scaled = kPlain ? x[i] * inverse_anchor : scaled_of(x[i], inverse_anchor);  // exact: a power of two
    sums[lane] += sum_term(scaled);
    squares[lane] += static_cast<uint32_t>(square_term(scaled));
    bin[i] = bin_of(scaled);
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) take(i + lane, lane);
  for (; i < count; ++i) take(i, i % kLanes);
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    totals.sum += sums[lane];
    totals.squares += squares[lane];
  }
  for (i = 0; i + kTables <= count; i += kTables)
    for (int t = 0; t < kTables; ++t) ++tables[t * kBins + bin[i + t]];
  for (; i < count; ++i) ++tables[bin[i]];
}

}  // namespace

void ONNXQ_KERNEL(observe_channel)(const float* x, ObserveShape shape, int64_t channel, ObserveOutputs out) {
  const int64_t sample = shape.channels * shape.inner;
  const float* first = x + channel * shape.inner;

  Extremes seen;
  for (int64_t n = 0; n < shape.batch; ++n) extremes_of<false>(first + n * sample, shape.inner, seen);
  const bool empty = shape.batch * shape.inner == 0;
  const bool clean = empty || all_finite(seen);
  if (!clean) {
    seen = Extremes{};
    for (int64_t n = 0; n < shape.batch; ++n) extremes_of<true>(first + n * sample, shape.inner, seen);
  }
  const float lowest = empty ? __builtin_inff() : from_ordered(seen.lowest);
  const float highest = empty ? -__builtin_inff() : from_ordered(seen.highest);
  const float reach = fmaxf(fabsf(lowest), fabsf(highest));
  const int32_t anchor_log2 = anchor_of(reach);
  const float anchor = power_of_two(anchor_log2), inverse_anchor = power_of_two(-anchor_log2);

  Totals totals;
  int32_t tables[kTables * kBins] = {};
  const auto accumulate = clean && reach <= anchor ? accumulate_block<true> : accumulate_block<false>;
  for (int64_t n = 0; n < shape.batch; ++n)
    for (int64_t i = 0; i < shape.inner; i += kBlock) {
      const int64_t length = shape.inner - i < kBlock ? shape.inner - i : kBlock;
      accumulate(first + n * sample + i, length, inverse_anchor, totals, tables);
    }

  out.minimum[channel] = clean ? lowest : __builtin_nanf("");
  out.maximum[channel] = clean ? highest : __builtin_nanf("");
  out.sum[channel] = clean ? sum_of(totals.sum, anchor) : __builtin_nan("");
  out.sum_squares[channel] = clean ? square_sum_of(totals.squares, anchor) : __builtin_nan("");
  int32_t* row = out.histogram + channel * kBins;
  for (int b = 0; b < kBins; ++b)
    row[b] = tables[b] + tables[kBins + b] + tables[2 * kBins + b] + tables[3 * kBins + b];
}

}  // namespace onnxq
