// Launches of CUDA kernels. By a call instead of <<<>>>, so that a host compiler can read the sources too
// (cuda_on_host).
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

namespace onnxq {

// Blocks that cover all items.
inline int64_t blocks_for(int64_t items, int64_t items_per_block) {
  return (items + items_per_block - 1) / items_per_block;
}

// A grid of blocks, each of which is one or several shares of an item (blockIdx.x and .y).
template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), int64_t blocks, int64_t shares, unsigned threads, void* stream,
                   Arguments... arguments) {
  if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(shares));
  config.blockDim = dim3(threads);
  config.stream = static_cast<cudaStream_t>(stream);
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

// How many blocks of a kernel run at the same time on the current device: more are of no use where blocks take turns.
template <auto kKernel>
cudaError_t blocks_at_once(unsigned threads, int64_t* blocks) {
  static thread_local int known_device = -1;  // to ask for all of it takes as long as a launch
  static thread_local int64_t known = 0;
  int device = 0, processors = 0, on_each = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess && device != known_device) {
    error = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    if (error == cudaSuccess)
      error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&on_each, kKernel, static_cast<int>(threads), 0);
    if (error == cudaSuccess) known_device = device, known = int64_t{processors} * on_each;
  }
  *blocks = known;
  return error;
}

}  // namespace onnxq
