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
constexpr int kAtOnce = 4;  // loads in flight
constexpr int kTables = 4;  // histograms of a block: fewer threads wait for each other's count

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

__device__ __forceinline__ Totals nothing_seen() { return {0, 0, encode(INFINITY), encode(-INFINITY), 0}; }

// Adds what the block has seen, once all threads have given it.
__device__ __forceinline__ void add(Totals& totals, const Totals& of_block) {
  __syncthreads();
  if (threadIdx.x > 0) return;
  atomicMin(&totals.lowest, of_block.lowest);
  atomicMax(&totals.highest, of_block.highest);
  if (of_block.not_finite != 0) atomicExch(&totals.not_finite, 1u);
  atomicAdd(&totals.sum, of_block.sum);
  atomicAdd(&totals.squares, of_block.squares);
}

__global__ void __launch_bounds__(kThreads) start(int64_t channels, Totals* totals, int32_t* histogram) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < channels * kBins) histogram[i] = 0;
  if (i < channels) totals[i] = nothing_seen();
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
  int32_t zeros = 0;  // in the bin of 0, counted together

  __device__ __forceinline__ explicit Counted(const Totals& totals)
      : inverse_anchor(power_of_two(-anchor_for(totals))) {}
  __device__ __forceinline__ void take(float value, int32_t* histogram) {
    const float scaled = scaled_of(value, inverse_anchor);
    if (scaled == 0.0f) {  // half of what a ReLU makes; CUDA's root takes a detour for it, too
      ++zeros;
      return;
    }
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
  __shared__ Totals of_block;
  if (threadIdx.x == 0) of_block = nothing_seen();
  __syncthreads();
  Seen seen;
  planes.for_each([&](float value) { seen.take(value); });
  for (int offset = 16; offset > 0; offset /= 2) {
    seen.lowest = min(seen.lowest, __shfl_xor_sync(kWarp, seen.lowest, offset));
    seen.highest = max(seen.highest, __shfl_xor_sync(kWarp, seen.highest, offset));
    seen.not_finite |= __shfl_xor_sync(kWarp, static_cast<int>(seen.not_finite), offset) != 0;
  }
  if (threadIdx.x % 32 == 0) seen.give(of_block);
  add(totals[blockIdx.x], of_block);
}

template <typename DividerType>
__global__ void __launch_bounds__(kThreads) count(Planes<DividerType> planes, Totals* totals, int32_t* histogram) {
  __shared__ int32_t tables[kTables * kBins];
  __shared__ Totals of_block;
  if (threadIdx.x == 0) of_block = nothing_seen();
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
  if (threadIdx.x % 32 == 0) counted.give(of_block, table);
  add(totals[blockIdx.x], of_block);
  for (int b = static_cast<int>(threadIdx.x); b < kBins; b += kThreads) {
    int32_t total = 0;
    for (int t = 0; t < kTables; ++t) total += tables[t * kBins + b];
    if (total != 0) atomicAdd(histogram + static_cast<int64_t>(blockIdx.x) * kBins + b, total);
  }
}

// ---- Columns: where planes are small, x is a matrix of `batch` rows; a thread has a column, or a share of its rows,
// and a block several rows where these are short.

constexpr int64_t kSmallPlane = 8;  // fewer values than that are less than what memory gives at once

struct Columns {
  const float* x;
  ObserveShape shape;
  int64_t columns, rows;  // of all; that a block has at once

  // The place among `rows` of them, which lie one behind the other.
  __device__ __forceinline__ int64_t place() const { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }
  // The number of channels for a thread that has nothing to do.
  __device__ __forceinline__ int64_t channel() const {
    return place() < rows * columns ? place() % columns / shape.inner : shape.channels;
  }
  template <typename Take>
  __device__ __forceinline__ void for_each(const Take& take) const {
    const int64_t stride = gridDim.y * rows, row = place() / columns;
    for (int64_t first = blockIdx.y * rows; first < shape.batch; first += stride * kAtOnce) {
      float value[kAtOnce] = {};
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k)
        if (first + k * stride + row < shape.batch) value[k] = x[(first + k * stride) * columns + place()];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k)
        if (first + k * stride + row < shape.batch) take(value[k]);
    }
  }
};

__global__ void __launch_bounds__(kThreads) column_extremes(Columns columns, Totals* totals) {
  const int64_t channel = columns.channel();
  if (channel >= columns.shape.channels) return;
  Seen seen;
  columns.for_each([&](float value) { seen.take(value); });
  seen.give(totals[channel]);
}

__global__ void __launch_bounds__(kThreads) column_count(Columns columns, Totals* totals, int32_t* histograms) {
  const int64_t channel = columns.channel();
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

// Blocks to share what one would do alone: as many as run at once, where each has `a_share` of the work to do.
int64_t shares_of(int64_t at_once, int64_t blocks, int64_t work, int64_t a_share) {
  return std::max<int64_t>(1, std::min(blocks_for(at_once, blocks), blocks_for(work, a_share)));
}

template <typename DividerType>
cudaError_t observe_planes(const float* x, const ObserveShape& shape, int64_t words, Totals* totals, int32_t* histogram,
                           void* stream) {
  const Planes<DividerType> planes{x, shape, DividerType(words)};
  int64_t at_once = 0;
  cudaError_t error = blocks_at_once<count<DividerType>>(kThreads, &at_once);
  const int64_t shares = shares_of(at_once, shape.channels, shape.batch * words, kThreads * kAtOnce);
  if (error == cudaSuccess)
    error = launch(extremes<DividerType>, shape.channels, shares, kThreads, stream, planes, totals);
  if (error == cudaSuccess)
    error = launch(count<DividerType>, shape.channels, shares, kThreads, stream, planes, totals, histogram);
  return error;
}

cudaError_t observe_columns(const float* x, const ObserveShape& shape, Totals* totals, int32_t* histogram,
                            void* stream) {
  const int64_t width = shape.channels * shape.inner, rows = std::max<int64_t>(1, kThreads / width);
  const Columns columns{x, shape, width, rows};
  const int64_t blocks = blocks_for(rows * width, kThreads);
  int64_t at_once = 0;
  cudaError_t error = blocks_at_once<column_count>(kThreads, &at_once);
  const int64_t shares = shares_of(at_once, blocks, shape.batch, rows * kAtOnce);
  if (error == cudaSuccess) error = launch(column_extremes, blocks, shares, kThreads, stream, columns, totals);
  if (error == cudaSuccess) error = launch(column_count, blocks, shares, kThreads, stream, columns, totals, histogram);
  return error;
}

cudaError_t observe(const float* x, ObserveShape shape, Totals* totals, int32_t* histogram, void* stream) {
  const int64_t values = shape.batch * shape.inner;
  if (values == 0) return cudaSuccess;
  if (shape.channels == 1) shape = {1, 1, values};
  if (shape.inner < kSmallPlane) return observe_columns(x, shape, totals, histogram, stream);
  const bool whole = reinterpret_cast<uintptr_t>(x) % sizeof(Word) == 0 && shape.inner % kWord == 0;
  const int64_t words = blocks_for(shape.inner + (whole ? 0 : kWord - 1), kWord);
  if (shape.channels * values < kDividerLimit)
    return observe_planes<Divider>(x, shape, words, totals, histogram, stream);
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
