// Stands in for CUDA's header where kernels are compiled as C++20 for the processor, so that tests and sanitizers can
// look at them without a GPU. Each CUDA thread of a block is a thread of the machine; blocks run one after the other,
// which is why the static variables that `__shared__` becomes are those of one block. What kernels use is here, nothing
// else.
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <bit>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#define __global__
#define __host__
#define __device__
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorInvalidConfiguration = 9 };
inline const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaSuccess                 ? "cudaSuccess"
         : error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation"
                                              : "cudaErrorInvalidConfiguration";
}
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess                 ? "no error"
         : error == cudaErrorMemoryAllocation ? "out of memory"
                                              : "invalid configuration argument";
}

// A device that is busy with few blocks, so that tests have blocks that take turns.
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16 };
inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) { return *value = 1, cudaSuccess; }
template <typename Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel, int, size_t) {
  return *blocks = 3, cudaSuccess;
}

inline cudaError_t cudaMallocAsync(void** memory, size_t size, cudaStream_t) {
  *memory = malloc(size);
  if (*memory == nullptr) return cudaErrorMemoryAllocation;
  memset(*memory, 0xa5, size);  // as of others before
  return cudaSuccess;
}
inline cudaError_t cudaFreeAsync(void* memory, cudaStream_t) { return free(memory), cudaSuccess; }

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  cudaStream_t stream = nullptr;
};

namespace cuda_on_host {

constexpr unsigned kWarpSize = 32;

// std::barrier's waiting goes through tables that all barriers share: ThreadSanitizer took it for an order between
// warps. All threads must come from the same place, `where`: some that have ended do not make up for others that wait.
class Barrier {
 public:
  explicit Barrier(unsigned threads) : threads_(threads), missing_(threads) {}
  void arrive_and_wait(int where = 0) {
    std::unique_lock lock(mutex_);
    const uint64_t turn = turn_;
    if (missing_ == threads_) where_ = where;
    if (where != where_) {
      fputs("threads of a block wait for each other at different places\n", stderr);
      abort();
    }
    if (--missing_ > 0) return passed_.wait(lock, [&] { return turn != turn_; });
    missing_ = threads_;
    ++turn_;
    passed_.notify_all();
  }

 private:
  const unsigned threads_;
  unsigned missing_;
  int where_ = 0;
  uint64_t turn_ = 0;
  std::mutex mutex_;
  std::condition_variable passed_;
};

// What the lanes of a warp tell each other, and where they wait for it.
struct Warp {
  explicit Warp(unsigned lanes) : arrived(lanes) {}
  Barrier arrived;
  uint64_t told[kWarpSize] = {};
};

struct Block {
  explicit Block(unsigned threads) : arrived(threads) {
    for (unsigned first = 0; first < threads; first += kWarpSize)
      warps.emplace_back(threads - first < kWarpSize ? threads - first : kWarpSize);
  }
  Barrier arrived;
  std::deque<Warp> warps;
};

inline thread_local Block* block = nullptr;
inline std::mutex one_at_a_time;  // kernels of different types may have the same shared memory

}  // namespace cuda_on_host

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

// Blocks have one dimension, as all of onnxq's have.
template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
  const dim3 grid = config->gridDim, threads = config->blockDim;
  if (grid.x == 0 || grid.x > 0x7fffffffu || grid.y == 0 || grid.y > 65535 || threads.x == 0 || threads.x > 1024)
    return cudaErrorInvalidConfiguration;
  const std::lock_guard guard(cuda_on_host::one_at_a_time);
  cuda_on_host::Block shared(threads.x);
  const auto run = [&](unsigned thread) {
    cuda_on_host::block = &shared;
    gridDim = grid, blockDim = threads, threadIdx = dim3(thread, 0, 0);
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(x, y, 0);
        kernel(arguments...);
        shared.arrived.arrive_and_wait(1);
      }
    }
  };
  std::vector<std::thread> running;
  for (unsigned thread = 0; thread < threads.x; ++thread) running.emplace_back(run, thread);
  for (std::thread& thread : running) thread.join();
  return cudaSuccess;
}

inline void __syncthreads() { cuda_on_host::block->arrived.arrive_and_wait(); }

// What `lane_of(own lane)` said, of all lanes of a warp, which all call it.
template <typename T, typename LaneOf>
T cuda_on_host_exchange(T value, LaneOf lane_of) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  const unsigned lane = threadIdx.x % cuda_on_host::kWarpSize;
  auto& warp = cuda_on_host::block->warps[threadIdx.x / cuda_on_host::kWarpSize];
  std::memcpy(&warp.told[lane], &value, sizeof value);
  warp.arrived.arrive_and_wait();
  std::memcpy(&value, &warp.told[lane_of(lane)], sizeof value);
  warp.arrived.arrive_and_wait();
  return value;
}

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return cuda_on_host_exchange(value, [mask](unsigned lane) { return lane ^ static_cast<unsigned>(mask); });
}

// Atomics order nothing else, as on a GPU.
template <typename T, typename Change>
T cuda_on_host_atomic(T* address, Change change) {
  std::atomic_ref<T> place(*address);
  T before = place.load(std::memory_order_relaxed);
  while (!place.compare_exchange_weak(before, change(before), std::memory_order_relaxed)) {
  }
  return before;
}

template <typename T>
T atomicAdd(T* address, T value) {
  return std::atomic_ref<T>(*address).fetch_add(value, std::memory_order_relaxed);
}
template <typename T>
T atomicMin(T* address, T value) {
  return cuda_on_host_atomic(address, [value](T before) { return value < before ? value : before; });
}
template <typename T>
T atomicMax(T* address, T value) {
  return cuda_on_host_atomic(address, [value](T before) { return value > before ? value : before; });
}
template <typename T>
T atomicExch(T* address, T value) {
  return std::atomic_ref<T>(*address).exchange(value, std::memory_order_relaxed);
}

inline int __float2int_rn(float value) { return static_cast<int>(rintf(value)); }
inline int __float2int_rd(float value) { return static_cast<int>(floorf(value)); }
inline uint32_t __float_as_uint(float value) { return std::bit_cast<uint32_t>(value); }
inline float __uint_as_float(uint32_t bits) { return std::bit_cast<float>(bits); }

template <typename T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
T max(T a, T b) {
  return a < b ? b : a;
}
