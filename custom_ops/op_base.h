// What the operators share: one class for the CPU provider and one for CUDA, under the same name.
#pragma once

#include <string>

#include "onnxruntime_cxx_api.h"

namespace onnxq {

enum class Provider { cpu, cuda };

[[noreturn]] inline void fail(const char* op, const std::string& what) {
  throw Ort::Exception(std::string("onnxq.") + op + ": " + what, ORT_INVALID_ARGUMENT);
}

template <Provider kProvider>
constexpr const char* provider_name() {
  return kProvider == Provider::cuda ? "CUDAExecutionProvider" : "CPUExecutionProvider";
}

// Splits `total` items over the session's threads: body(begin, end) with end - begin <= grain.
template <typename Body>
void parallel_for(const Ort::KernelContext& context, int64_t total, int64_t grain, const Body& body) {
  struct Task {
    const Body& body;
    int64_t total, grain;
  } task{body, total, grain};
  const int64_t chunks = (total + grain - 1) / grain;
  if (chunks <= 1) {
    if (total > 0) body(0, total);
    return;
  }
  context.ParallelFor(
      [](void* data, size_t chunk) {
        const Task& t = *static_cast<Task*>(data);
        const int64_t begin = static_cast<int64_t>(chunk) * t.grain;
        t.body(begin, begin + t.grain < t.total ? begin + t.grain : t.total);
      },
      static_cast<size_t>(chunks), 0, &task);
}

}  // namespace onnxq
