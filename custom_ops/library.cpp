// Entry points: what ONNX Runtime calls to register the operators, and what `onnxq info` asks.
#include "cpu_isa.h"
#include "onnxruntime_cxx_api.h"
#include "operators.h"

#define ONNXQ_EXPORT extern "C" __attribute__((visibility("default")))

ONNXQ_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (api == nullptr)  // the running ONNX Runtime is older than the headers this was built with
    return base->GetApi(1)->CreateStatus(ORT_FAIL, "onnxq: this library needs a newer ONNX Runtime");
  Ort::InitApi(api);
  try {
    static Ort::CustomOpDomain domain = [] {
      Ort::CustomOpDomain built("onnxq");
#define ONNXQ_ADD(folder) onnxq::add_##folder(built);
      ONNXQ_OPERATORS(ONNXQ_ADD)
#undef ONNXQ_ADD
      return built;
    }();
    Ort::UnownedSessionOptions(options).Add(domain);
  } catch (const std::exception& error) {
    return api->CreateStatus(ORT_FAIL, error.what());
  }
  return nullptr;
}

// The instruction set that the CPU kernels use on this machine.
ONNXQ_EXPORT const char* onnxq_cpu_isa() {
  switch (onnxq::best_isa()) {
    case onnxq::Isa::avx512:
      return "AVX-512";
    case onnxq::Isa::avx2:
      return "AVX2";
    default:
      return "baseline";
  }
}

ONNXQ_EXPORT const char* onnxq_cuda_architectures() {
#ifdef ONNXQ_WITH_CUDA
  return ONNXQ_CUDA_ARCHITECTURES;
#else
  return "";
#endif
}
