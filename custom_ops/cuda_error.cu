// Errors of CUDA in words.
#include <cuda_runtime.h>

#include <string>

namespace onnxq {

std::string cuda_error_text(int error) {
  const auto code = static_cast<cudaError_t>(error);
  return std::string(cudaGetErrorName(code)) + " (" + cudaGetErrorString(code) + ")";
}

}  // namespace onnxq
