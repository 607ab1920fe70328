#include "cpu_isa.h"
#include "elementwise_op.h"
#include "fake_quantize/kernels.h"
#include "operators.h"

namespace onnxq {
namespace {

struct FakeQuantize : NothingBesides {
  static constexpr const char* kName = "FakeQuantize";
  static constexpr size_t kInputs = 4;
  using Parameters = FakeQuantizeParameters;

  explicit FakeQuantize(const OrtKernelInfo*) {}

  static ONNXTensorElementDataType input_type(size_t input) {
    return input == 3 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }

  static Parameters parse(const Ort::KernelContext& context, const Dimensions& x, int64_t& axis) {
    const auto per_channel = [&](size_t input, const char* name) {
      return varies(dimensions(context, input), x, kName, name, axis);
    };
    const bool scale = per_channel(1, "scale"), zero_point = per_channel(2, "zero_point"),
               bits = per_channel(3, "bits");
    return {context.GetInput(1).GetTensorData<float>(),
            context.GetInput(2).GetTensorData<float>(),
            context.GetInput(3).GetTensorData<int32_t>(),
            scale,
            zero_point,
            bits};
  }

  static auto cpu_f32() { return ONNXQ_DISPATCH(fake_quantize_f32); }
  static auto cpu_f16() { return ONNXQ_DISPATCH(fake_quantize_f16); }
#ifdef ONNXQ_WITH_CUDA
  static auto cuda(bool half) { return half ? fake_quantize_cuda_f16 : fake_quantize_cuda_f32; }
#endif
};

}  // namespace

void add_fake_quantize(Ort::CustomOpDomain& domain) { add_elementwise<FakeQuantize>(domain); }

}  // namespace onnxq
