// Entry points: what ONNX Runtime calls to register the operators, and what `onnxq info` asks.
#include "onnxruntime_cxx_api.h"

#include "cpu_isa.h"
#include "fake_quantize/op.h"
#include "fake_quantize_codebook/op.h"
#include "fake_quantize_fixed_point/op.h"
#include "fake_quantize_mid_tread/op.h"
#include "fixed_point_conv/op.h"
#include "observe/op.h"

#define ONNXQ_EXPORT extern "C" __attribute__((visibility("default")))

ONNXQ_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (api == nullptr)  // the running ONNX Runtime is older than the headers this was built with
    return base->GetApi(1)->CreateStatus(ORT_FAIL, "onnxq: this library needs a newer ONNX Runtime");
  Ort::InitApi(api);
  try {
    static Ort::CustomOpDomain domain = [] {
      Ort::CustomOpDomain built("onnxq");
      onnxq::add_fake_quantize(built);
      onnxq::add_fake_quantize_codebook(built);
      onnxq::add_fake_quantize_fixed_point(built);
      onnxq::add_fake_quantize_mid_tread(built);
      onnxq::add_fixed_point_conv(built);
      onnxq::add_observe(built);
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
    case onnxq::Isa::avx512: return "AVX-512";
    case onnxq::Isa::avx2: return "AVX2";
    default: return "baseline";
  }
}

ONNXQ_EXPORT const char* onnxq_cuda_architectures() {
#ifdef ONNXQ_WITH_CUDA
  return ONNXQ_CUDA_ARCHITECTURES;
#else
  return "";
#endif
}
