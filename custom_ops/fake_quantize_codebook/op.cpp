#include "cpu_isa.h"
#include "elementwise_op.h"
#include "fake_quantize_codebook/kernels.h"
#include "operators.h"

namespace onnxq {
namespace {

struct FakeQuantizeCodebook {
  static constexpr const char* kName = "FakeQuantizeCodebook";
  static constexpr size_t kInputs = 3;
  using Parameters = CodebookParameters;

  explicit FakeQuantizeCodebook(const OrtKernelInfo*) {}

  static ONNXTensorElementDataType input_type(size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }

  static Parameters parse(const Ort::KernelContext& context, const Dimensions& x, int64_t& axis) {
    const Dimensions levels = dimensions(context, 2);
    if (levels.size() != 1 || levels[0] < 1 || levels[0] > kMaxLevels)
      fail(kName, "levels must be 1 to " + std::to_string(kMaxLevels) + " values");
    const bool per_channel = varies(dimensions(context, 1), x, kName, "scale", axis);
    return {context.GetInput(1).GetTensorData<float>(), context.GetInput(2).GetTensorData<float>(),
            static_cast<int32_t>(levels[0]), per_channel, nullptr};
  }

  template <typename Body>
  static void for_cpu(Parameters parameters, const Body& body) {
    float bounds[kCodebookBounds];
    for (int32_t i = 0; i < kCodebookBounds; ++i) bounds[i] = codebook_bound(parameters.levels, parameters.count, i);
    parameters.bounds = bounds;
    body(parameters);
  }

  static auto cpu_f32() { return ONNXQ_DISPATCH(codebook_f32); }
  static auto cpu_f16() { return ONNXQ_DISPATCH(codebook_f16); }
#ifdef ONNXQ_WITH_CUDA
  static auto cuda(bool half) { return half ? codebook_cuda_f16 : codebook_cuda_f32; }
#endif
};

}  // namespace

void add_fake_quantize_codebook(Ort::CustomOpDomain& domain) { add_elementwise<FakeQuantizeCodebook>(domain); }

}  // namespace onnxq
