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

// Blocks that cover so many items, as far as there may be.
inline unsigned blocks_for(int64_t items, int64_t items_per_block, int64_t most = kMaxBlocks) {
  const int64_t wanted = (items + items_per_block - 1) / items_per_block;
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, unsigned threads, void* stream, Arguments... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.stream = static_cast<cudaStream_t>(stream);
  cudaLaunchKernelEx(&config, kernel, arguments...);  // what goes wrong, cudaGetLastError tells
}

}  // namespace onnxq
