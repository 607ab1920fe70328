#include <cuda_runtime.h>

#include "arithmetic.h"
#include "divider.h"
#include "launch.cuh"
#include "observe/kernels.h"

// Four launches on the session's stream. The outputs serve as accumulators: minimum and maximum hold
// order-preserving integers until `finish` decodes them, the sums hold 64-bit integer totals. All of it is
// independent of the order in which the atomics arrive. `kNonFinite` marks a channel with NaN or Inf in it.

namespace onnxq {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kWarp = 0xffffffffu;
constexpr int64_t kValuesPerThread = 16;
constexpr int64_t kMaxShares = kMaxBlocks < 256 ? kMaxBlocks : 256;  // blocks that share one channel
constexpr int kAtOnce = 4;                                           // loads in flight
constexpr int kTables = 4;  // histograms of a block: fewer threads wait for each other's count

// Unsigned order = float order, for all but NaN.
__device__ __forceinline__ uint32_t encode(float value) {
  const uint32_t bits = __float_as_uint(value);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float decode(uint32_t code) {
  return __uint_as_float(code & 0x80000000u ? code & 0x7fffffffu : ~code);
}

// A total that no sum of terms reaches; later terms are far too small to wrap it round to another meaning.
constexpr long long kNonFinite = -(1LL << 62);
constexpr long long kNonFiniteLimit = -(1LL << 61);

__device__ __forceinline__ unsigned long long* totals(double* sums) {
  return reinterpret_cast<unsigned long long*>(sums);
}
__device__ __forceinline__ uint32_t* codes(float* extremes) { return reinterpret_cast<uint32_t*>(extremes); }

__global__ void __launch_bounds__(kThreads) start(ObserveShape shape, ObserveOutputs out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < shape.channels * kBins) out.histogram[i] = 0;
  if (i < shape.channels) {
    codes(out.minimum)[i] = encode(INFINITY);
    codes(out.maximum)[i] = encode(-INFINITY);
    totals(out.sum)[i] = 0;
    totals(out.sum_squares)[i] = 0;
  }
}

// The place of value i of a channel: for channels of fewer than 2^31 values and for larger ones.
struct Places32 {
  Divider inner;
  __device__ __forceinline__ int64_t image(int64_t i) const { return inner.quotient(static_cast<uint32_t>(i)); }
};

struct Places64 {
  int64_t inner;
  __device__ __forceinline__ int64_t image(int64_t i) const { return i / inner; }
};

// Calls visit(value) for this thread's share of channel blockIdx.x; the blocks of blockIdx.y share the channel.
template <typename Places, typename Visit>
__device__ __forceinline__ void for_each_value(const float* x, const ObserveShape& shape, Places places, Visit visit) {
  const int64_t count = shape.batch * shape.inner;
  const int64_t stride = static_cast<int64_t>(gridDim.y) * kThreads;
  for (int64_t first = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x; first < count;
       first += stride * kAtOnce) {
    float value[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int64_t i = first + k * stride;
      if (i >= count) break;
      const int64_t n = places.image(i);
      value[k] = x[(n * shape.channels + blockIdx.x) * shape.inner + (i - n * shape.inner)];
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k)
      if (first + k * stride < count) visit(value[k]);
  }
}

__device__ __forceinline__ bool is_finite(float value) { return is_finite_bits(__float_as_uint(value)); }

template <typename Places>
__global__ void __launch_bounds__(kThreads)
    extremes(const float* __restrict__ x, ObserveShape shape, Places places, ObserveOutputs out) {
  uint32_t low = encode(INFINITY), high = encode(-INFINITY);
  bool bad = false;
  for_each_value(x, shape, places, [&](float value) {
    const bool finite = is_finite(value);
    bad |= !finite;
    const uint32_t code = encode(finite ? value : 0.0f);
    low = min(low, code);
    high = max(high, code);
  });
  for (int offset = 16; offset > 0; offset /= 2) {
    low = min(low, __shfl_xor_sync(kWarp, low, offset));
    high = max(high, __shfl_xor_sync(kWarp, high, offset));
  }
  if (threadIdx.x % 32 == 0) {
    atomicMin(codes(out.minimum) + blockIdx.x, low);
    atomicMax(codes(out.maximum) + blockIdx.x, high);
  }
  if (bad) atomicExch(totals(out.sum) + blockIdx.x, static_cast<unsigned long long>(kNonFinite));
}

template <typename Places>
__global__ void __launch_bounds__(kThreads)
    count(const float* __restrict__ x, ObserveShape shape, Places places, ObserveOutputs out) {
  __shared__ int32_t tables[kTables * kBins];
  for (int b = threadIdx.x; b < kTables * kBins; b += kThreads) tables[b] = 0;
  int32_t* const table = tables + threadIdx.x / 32 % kTables * kBins;
  __syncthreads();
  const float lowest = decode(codes(out.minimum)[blockIdx.x]), highest = decode(codes(out.maximum)[blockIdx.x]);
  const float anchor = anchor_of(fmaxf(fabsf(lowest), fabsf(highest)));
  const float inverse = 1.0f / anchor;  // exact: the anchor is a power of two
  long long sum = 0, squares = 0;
  for_each_value(x, shape, places, [&](float value) {
    const float scaled = scaled_of(value, inverse);
    sum += sum_term(scaled);
    squares += square_term(scaled);
    atomicAdd(table + bin_of(scaled), 1);
  });
  for (int offset = 16; offset > 0; offset /= 2) {
    sum += __shfl_xor_sync(kWarp, sum, offset);
    squares += __shfl_xor_sync(kWarp, squares, offset);
  }
  if (threadIdx.x % 32 == 0) {
    atomicAdd(totals(out.sum) + blockIdx.x, static_cast<unsigned long long>(sum));
    atomicAdd(totals(out.sum_squares) + blockIdx.x, static_cast<unsigned long long>(squares));
  }
  __syncthreads();
  for (int b = threadIdx.x; b < kBins; b += kThreads) {
    int32_t total = 0;
    for (int t = 0; t < kTables; ++t) total += tables[t * kBins + b];
    if (total != 0) atomicAdd(out.histogram + static_cast<int64_t>(blockIdx.x) * kBins + b, total);
  }
}

__global__ void __launch_bounds__(kThreads) finish(ObserveShape shape, ObserveOutputs out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= shape.channels) return;
  const float lowest = decode(codes(out.minimum)[i]), highest = decode(codes(out.maximum)[i]);
  const float anchor = anchor_of(fmaxf(fabsf(lowest), fabsf(highest)));
  const auto sum = static_cast<long long>(totals(out.sum)[i]);
  const auto squares = static_cast<long long>(totals(out.sum_squares)[i]);
  const bool bad = sum < kNonFiniteLimit;
  out.minimum[i] = bad ? nanf("") : lowest;
  out.maximum[i] = bad ? nanf("") : highest;
  out.sum[i] = bad ? nan("") : sum_of(sum, anchor);
  out.sum_squares[i] = bad ? nan("") : square_sum_of(squares, anchor);
}

}  // namespace

int observe_cuda(const float* x, ObserveShape shape, ObserveOutputs out, void* stream) {
  if (shape.channels == 0) return cudaSuccess;
  cudaError_t error = launch(start, blocks_for(shape.channels * kBins, kThreads), 1, kThreads, stream, shape, out);
  const int64_t values = shape.batch * shape.inner;
  const auto observe = [&](auto places) {
    const int64_t shares = turning_blocks_for(values, kThreads * kValuesPerThread, kMaxShares);
    const auto run = [&](auto kernel) {
      if (error == cudaSuccess) error = launch(kernel, shape.channels, shares, kThreads, stream, x, shape, places, out);
    };
    run(extremes<decltype(places)>);
    run(count<decltype(places)>);
  };
  if (values >= kDividerLimit)
    observe(Places64{shape.inner});
  else if (values > 0)
    observe(Places32{divider_of(shape.inner)});
  if (error == cudaSuccess)
    error = launch(finish, blocks_for(shape.channels, kThreads), 1, kThreads, stream, shape, out);
  return error;
}

}  // namespace onnxq
