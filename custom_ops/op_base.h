// What the operators share: one class for the CPU provider and one for CUDA, under the same name; errors as statuses.
#pragma once

#include <atomic>
#include <string>

#include "onnxruntime_cxx_api.h"

namespace onnxq {

enum class Provider { cpu, cuda };

[[noreturn]] inline void fail(const char* op, const std::string& what) {
  throw Ort::Exception(std::string("onnxq.") + op + ": " + what, ORT_INVALID_ARGUMENT);
}

// "cudaErrorInvalidConfiguration (invalid configuration argument)"; in cuda_error.cu.
std::string cuda_error_text(int error);

// Names a launch that failed; `error` is a cudaError_t.
inline void check_launch(const char* op, const char* launch, int error) {
#ifdef ONNXQ_WITH_CUDA
  if (error != 0) fail(op, std::string("launch of ") + launch + " failed: " + cuda_error_text(error));
#else
  static_cast<void>(op), static_cast<void>(launch), static_cast<void>(error);
#endif
}

// Runs a body; what it throws becomes a status, since exceptions must not cross ONNX Runtime's C interface.
template <typename Body>
OrtStatusPtr as_status(const Body& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Ort::Exception& error) {
    return Ort::GetApi().CreateStatus(error.GetOrtErrorCode(), error.what());
  } catch (const std::exception& error) {
    return Ort::GetApi().CreateStatus(ORT_RUNTIME_EXCEPTION, error.what());
  } catch (...) {
    return Ort::GetApi().CreateStatus(ORT_RUNTIME_EXCEPTION, "onnxq: an unknown error");
  }
}

template <Provider kProvider>
constexpr const char* provider_name() {
#ifdef ONNXQ_CUDA_ON_HOST
  return "CPUExecutionProvider";
#else
  return kProvider == Provider::cuda ? "CUDAExecutionProvider" : "CPUExecutionProvider";
#endif
}

// `Kernel` is made from (const OrtKernelInfo*) and has Compute(OrtKernelContext*); both may throw.
template <typename Kernel>
struct StatusKernel : Kernel {
  explicit StatusKernel(const OrtKernelInfo* info) : Kernel(info) {}
  OrtStatusPtr ComputeV2(OrtKernelContext* context) noexcept {
    return as_status([&] { Kernel::Compute(context); });
  }
};

// An operator `Self` of one provider, that its base class CustomOpBase asks for everything else.
template <typename Self, typename Kernel, Provider kProvider>
struct Operator : Ort::CustomOpBase<Self, StatusKernel<Kernel>, true> {
  OrtStatusPtr CreateKernelV2(const OrtApi&, const OrtKernelInfo* info, void** kernel) const noexcept {
    return as_status([&] { *kernel = new StatusKernel<Kernel>(info); });
  }
  const char* GetExecutionProviderType() const { return provider_name<kProvider>(); }
};

// Registers an operator for every provider that it has kernels for. (Types, not a template: an alias of one would give
// instances of different files the same name, and the linker would keep a single one.)
template <typename CpuOp, typename CudaOp>
void add_operator(Ort::CustomOpDomain& domain) {
#ifndef ONNXQ_CUDA_ON_HOST  // where the CUDA kernels are those of the CPU
  static const CpuOp cpu;
  domain.Add(&cpu);
#endif
#ifdef ONNXQ_WITH_CUDA
  static const CudaOp cuda;
  domain.Add(&cuda);
#endif
}

// Splits `total` items over the session's threads: body(begin, end) with end - begin <= grain.
template <typename Body>
void parallel_for(const Ort::KernelContext& context, int64_t total, int64_t grain, const Body& body) {
  struct Task {
    const Body& body;
    int64_t total, grain;
    std::atomic<bool> failed{false};
  } task{body, total, grain};
  const int64_t chunks = (total + grain - 1) / grain;
  if (chunks <= 1) {
    if (total > 0) body(0, total);
    return;
  }
  context.ParallelFor(
      [](void* data, size_t chunk) {
        Task& t = *static_cast<Task*>(data);
        const int64_t begin = static_cast<int64_t>(chunk) * t.grain;
        try {  // the threads are ONNX Runtime's
          t.body(begin, begin + t.grain < t.total ? begin + t.grain : t.total);
        } catch (...) {
          t.failed = true;
        }
      },
      static_cast<size_t>(chunks), 0, &task);
  if (task.failed) throw std::bad_alloc();  // the only thing that kernels ask for while they run
}

}  // namespace onnxq
