#include <cuda_runtime.h>

#include <algorithm>

#include "arithmetic.h"
#include "divider.h"
#include "launch.cuh"
#include "observe/kernels.h"

// Four launches on the session's stream: `start` empties the totals, `extremes` and `count` read x, `finish` makes
// outputs of totals. Totals are integers, so that they do not depend on the order in which atomics arrive.

namespace onnxq {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kWarp = 0xffffffffu;
constexpr int kAtOnce = 4;                // loads in flight
constexpr int kTables = 4;                // histograms of a block: fewer threads wait for each other's count
constexpr int64_t kValuesPerThread = 64;  // below that, blocks are not worth their start
constexpr int64_t kMostShares = 65535;    // of a grid's second dimension

struct Totals {
  unsigned long long sum, squares;
  uint32_t lowest, highest;  // encoded
  uint32_t not_finite;       // 1 if there is NaN or Inf
};

// Unsigned order = float order, for all but NaN.
__device__ __forceinline__ uint32_t encode(float value) {
  const uint32_t bits = __float_as_uint(value);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float decode(uint32_t code) {
  return __uint_as_float(code & 0x80000000u ? code & 0x7fffffffu : ~code);
}

__device__ __forceinline__ int32_t anchor_for(const Totals& totals) {
  return anchor_of(fmaxf(fabsf(decode(totals.lowest)), fabsf(decode(totals.highest))));
}

__global__ void __launch_bounds__(kThreads) start(int64_t channels, Totals* totals, int32_t* histogram) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < channels * kBins) histogram[i] = 0;
  if (i < channels) totals[i] = {0, 0, encode(INFINITY), encode(-INFINITY), 0};
}

// What one thread, and then its warp, has seen of a channel.
struct Seen {
  uint32_t lowest = encode(INFINITY), highest = encode(-INFINITY);
  bool not_finite = false;

  __device__ __forceinline__ void take(float value) {
    const bool finite = is_finite_bits(__float_as_uint(value));
    not_finite |= !finite;
    const uint32_t code = encode(finite ? value : 0.0f);
    lowest = min(lowest, code);
    highest = max(highest, code);
  }
  __device__ __forceinline__ void give(Totals& totals) const {
    atomicMin(&totals.lowest, lowest);
    atomicMax(&totals.highest, highest);
    if (not_finite) atomicExch(&totals.not_finite, 1u);
  }
};

struct Counted {
  float inverse_anchor;
  long long sum = 0, squares = 0;
  int32_t zeros = 0;  // of the bin of 0: half of what a ReLU gives, and counted together

  __device__ __forceinline__ explicit Counted(const Totals& totals)
      : inverse_anchor(power_of_two(-anchor_for(totals))) {}
  __device__ __forceinline__ void take(float value, int32_t* histogram) {
    const float scaled = scaled_of(value, inverse_anchor);
    sum += sum_term(scaled);
    squares += square_term(scaled);
    const int32_t bin = bin_of(scaled);
    if (bin == kHalfBins)
      ++zeros;
    else
      atomicAdd(histogram + bin, 1);
  }
  __device__ __forceinline__ void give(Totals& totals, int32_t* histogram) const {
    atomicAdd(&totals.sum, static_cast<unsigned long long>(sum));
    atomicAdd(&totals.squares, static_cast<unsigned long long>(squares));
    if (zeros > 0) atomicAdd(histogram + kHalfBins, zeros);
  }
};

// ---- Planes: a block has one channel (blockIdx.x), or a share of it (blockIdx.y), and reads words of 16 bytes. Words
// are aligned: the first and the last of a plane may reach out of it.

constexpr int kWord = 4;
struct alignas(sizeof(float) * kWord) Word {
  float value[kWord];
};

template <typename DividerType>
struct Planes {
  const float* x;
  ObserveShape shape;
  DividerType words;  // a plane

  // Loads word i of the channel's: bit j of the answer says whether value j is the channel's.
  __device__ __forceinline__ unsigned load(int64_t i, Word& word) const {
    const int64_t image = words.quotient(static_cast<typename DividerType::Number>(i));
    const float* plane = x + (image * shape.channels + blockIdx.x) * shape.inner;
    const auto reaching_out = static_cast<int64_t>(reinterpret_cast<uintptr_t>(plane) / sizeof(float) % kWord);
    const int64_t first = (i - image * words.divisor) * kWord - reaching_out;
    if (first >= 0 && first + kWord <= shape.inner) {
      word = *reinterpret_cast<const Word*>(plane + first);
      return (1u << kWord) - 1;
    }
    unsigned mask = 0;
#pragma unroll
    for (int j = 0; j < kWord; ++j) {
      if (first + j < 0 || first + j >= shape.inner) continue;
      word.value[j] = plane[first + j];
      mask |= 1u << j;
    }
    return mask;
  }

  template <typename Take>
  __device__ __forceinline__ void for_each(const Take& take) const {
    const int64_t count = shape.batch * words.divisor, stride = static_cast<int64_t>(gridDim.y) * kThreads;
    for (int64_t first = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x; first < count;
         first += stride * kAtOnce) {
      Word word[kAtOnce];
      unsigned mask[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) mask[k] = first + k * stride < count ? load(first + k * stride, word[k]) : 0;
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k)
#pragma unroll
        for (int j = 0; j < kWord; ++j)
          if (mask[k] >> j & 1) take(word[k].value[j]);
    }
  }
};

template <typename DividerType>
__global__ void __launch_bounds__(kThreads) extremes(Planes<DividerType> planes, Totals* totals) {
  Seen seen;
  planes.for_each([&](float value) { seen.take(value); });
  for (int offset = 16; offset > 0; offset /= 2) {
    seen.lowest = min(seen.lowest, __shfl_xor_sync(kWarp, seen.lowest, offset));
    seen.highest = max(seen.highest, __shfl_xor_sync(kWarp, seen.highest, offset));
    seen.not_finite |= __shfl_xor_sync(kWarp, static_cast<int>(seen.not_finite), offset) != 0;
  }
  if (threadIdx.x % 32 == 0) seen.give(totals[blockIdx.x]);
}

template <typename DividerType>
__global__ void __launch_bounds__(kThreads) count(Planes<DividerType> planes, Totals* totals, int32_t* histogram) {
  __shared__ int32_t tables[kTables * kBins];
  for (int b = static_cast<int>(threadIdx.x); b < kTables * kBins; b += kThreads) tables[b] = 0;
  int32_t* const table = tables + threadIdx.x / 32 % kTables * kBins;
  __syncthreads();
  Counted counted(totals[blockIdx.x]);
  planes.for_each([&](float value) { counted.take(value, table); });
  for (int offset = 16; offset > 0; offset /= 2) {
    counted.sum += __shfl_xor_sync(kWarp, counted.sum, offset);
    counted.squares += __shfl_xor_sync(kWarp, counted.squares, offset);
    counted.zeros += __shfl_xor_sync(kWarp, counted.zeros, offset);
  }
  if (threadIdx.x % 32 == 0) counted.give(totals[blockIdx.x], table);
  __syncthreads();
  for (int b = static_cast<int>(threadIdx.x); b < kBins; b += kThreads) {
    int32_t total = 0;
    for (int t = 0; t < kTables; ++t) total += tables[t * kBins + b];
    if (total != 0) atomicAdd(histogram + static_cast<int64_t>(blockIdx.x) * kBins + b, total);
  }
}

// ---- Columns: where planes are small, x is a matrix of `batch` rows; a thread has a column, or a share of its rows.

constexpr int64_t kSmallPlane = 8;  // fewer values than that are less than what memory gives at once

struct Columns {
  const float* x;
  ObserveShape shape;

  __device__ __forceinline__ int64_t column() const {
    return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  }
  template <typename Take>
  __device__ __forceinline__ void for_each(const Take& take) const {
    const int64_t columns = shape.channels * shape.inner;
    for (int64_t first = blockIdx.y; first < shape.batch; first += static_cast<int64_t>(gridDim.y) * kAtOnce) {
      float value[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const int64_t row = first + static_cast<int64_t>(k) * gridDim.y;
        if (row < shape.batch) value[k] = x[row * columns + column()];
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k)
        if (first + static_cast<int64_t>(k) * gridDim.y < shape.batch) take(value[k]);
    }
  }
};

__global__ void __launch_bounds__(kThreads) column_extremes(Columns columns, Totals* totals) {
  const int64_t channel = columns.column() / columns.shape.inner;
  if (channel >= columns.shape.channels) return;
  Seen seen;
  columns.for_each([&](float value) { seen.take(value); });
  seen.give(totals[channel]);
}

__global__ void __launch_bounds__(kThreads) column_count(Columns columns, Totals* totals, int32_t* histograms) {
  const int64_t channel = columns.column() / columns.shape.inner;
  if (channel >= columns.shape.channels) return;
  int32_t* const histogram = histograms + channel * kBins;
  Counted counted(totals[channel]);
  columns.for_each([&](float value) { counted.take(value, histogram); });
  counted.give(totals[channel], histogram);
}

__global__ void __launch_bounds__(kThreads) finish(int64_t channels, const Totals* totals, ObserveOutputs out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= channels) return;
  const Totals& total = totals[i];
  const float anchor = power_of_two(anchor_for(total));
  const bool bad = total.not_finite != 0;
  out.minimum[i] = bad ? nanf("") : decode(total.lowest);
  out.maximum[i] = bad ? nanf("") : decode(total.highest);
  out.sum[i] = bad ? nan("") : sum_of(static_cast<int64_t>(total.sum), anchor);
  out.sum_squares[i] = bad ? nan("") : square_sum_of(static_cast<int64_t>(total.squares), anchor);
}

// How many of blocks share what one would do alone, where each is to have `a_share` of its `work`.
template <typename... Parameters>
cudaError_t shares_of(void (*kernel)(Parameters...), int64_t blocks, int64_t work, int64_t a_share, int64_t* shares) {
  int64_t at_once = 0;
  const cudaError_t error = blocks_at_once(kernel, kThreads, &at_once);
  const int64_t useful = std::min(blocks_for(at_once, blocks), blocks_for(work, a_share));
  *shares = std::clamp<int64_t>(useful, 1, kMostShares);
  return error;
}

template <typename DividerType>
cudaError_t observe_planes(const float* x, const ObserveShape& shape, int64_t words, Totals* totals, int32_t* histogram,
                           void* stream) {
  const Planes<DividerType> planes{x, shape, DividerType(words)};
  int64_t shares = 0;
  cudaError_t error =
      shares_of(count<DividerType>, shape.channels, shape.batch * words * kWord, kThreads * kValuesPerThread, &shares);
  if (error == cudaSuccess)
    error = launch(extremes<DividerType>, shape.channels, shares, kThreads, stream, planes, totals);
  if (error == cudaSuccess)
    error = launch(count<DividerType>, shape.channels, shares, kThreads, stream, planes, totals, histogram);
  return error;
}

cudaError_t observe_columns(const float* x, const ObserveShape& shape, Totals* totals, int32_t* histogram,
                            void* stream) {
  const int64_t blocks = blocks_for(shape.channels * shape.inner, kThreads);
  int64_t shares = 0;
  cudaError_t error = shares_of(column_count, blocks, shape.batch, kValuesPerThread, &shares);
  const Columns columns{x, shape};
  if (error == cudaSuccess) error = launch(column_extremes, blocks, shares, kThreads, stream, columns, totals);
  if (error == cudaSuccess) error = launch(column_count, blocks, shares, kThreads, stream, columns, totals, histogram);
  return error;
}

cudaError_t observe(const float* x, const ObserveShape& shape, Totals* totals, int32_t* histogram, void* stream) {
  if (shape.batch * shape.inner == 0) return cudaSuccess;
  if (shape.inner < kSmallPlane) return observe_columns(x, shape, totals, histogram, stream);
  const bool whole = reinterpret_cast<uintptr_t>(x) % sizeof(Word) == 0 && shape.inner % kWord == 0;
  const int64_t words = blocks_for(shape.inner + (whole ? 0 : kWord - 1), kWord);
  if (shape.batch * words < kDividerLimit) return observe_planes<Divider>(x, shape, words, totals, histogram, stream);
  return observe_planes<LargeDivider>(x, shape, words, totals, histogram, stream);
}

}  // namespace

int observe_cuda(const float* x, ObserveShape shape, ObserveOutputs out, void* stream) {
  if (shape.channels == 0) return cudaSuccess;
  const auto on = static_cast<cudaStream_t>(stream);
  void* scratch = nullptr;
  cudaError_t error = cudaMallocAsync(&scratch, static_cast<size_t>(shape.channels) * sizeof(Totals), on);
  if (error != cudaSuccess) return error;
  auto* const totals = static_cast<Totals*>(scratch);
  error = launch(start, blocks_for(shape.channels * kBins, kThreads), 1, kThreads, stream, shape.channels, totals,
                 out.histogram);
  if (error == cudaSuccess) error = observe(x, shape, totals, out.histogram, stream);
  if (error == cudaSuccess)
    error = launch(finish, blocks_for(shape.channels, kThreads), 1, kThreads, stream, shape.channels,
                   static_cast<const Totals*>(totals), out);
  const cudaError_t freed = cudaFreeAsync(scratch, on);
  return error == cudaSuccess ? freed : error;
}

}  // namespace onnxq
