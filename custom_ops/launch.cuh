// Launches of CUDA kernels. By a call instead of <<<>>>, so that a host compiler can read the sources too
// (cuda_on_host).
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>

namespace onnxq {

#ifndef ONNXQ_MAX_BLOCKS  // tests have few, so that blocks have more than one turn
#define ONNXQ_MAX_BLOCKS (1 << 16)
#endif
constexpr int64_t kMaxBlocks = ONNXQ_MAX_BLOCKS;

// Blocks that cover all items.
inline int64_t blocks_for(int64_t items, int64_t items_per_block) {
  return (items + items_per_block - 1) / items_per_block;
}

// The same, as many as are useful: for kernels whose blocks take several turns.
inline int64_t turning_blocks_for(int64_t items, int64_t items_per_block, int64_t most = kMaxBlocks) {
  const int64_t wanted = blocks_for(items, items_per_block);
  return wanted < most ? wanted : most;
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

}  // namespace onnxq
