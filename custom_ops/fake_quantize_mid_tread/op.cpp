#include "cpu_isa.h"
#include "elementwise_op.h"
#include "fake_quantize_mid_tread/kernels.h"
#include "operators.h"

namespace onnxq {
namespace {

struct FakeQuantizeMidTread : NothingBesides {
  static constexpr const char* kName = "FakeQuantizeMidTread";
  static constexpr size_t kInputs = 4;
  using Parameters = MidTreadParameters;

  explicit FakeQuantizeMidTread(const OrtKernelInfo*) {}

  static ONNXTensorElementDataType input_type(size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }

  static Parameters parse(const Ort::KernelContext& context, const Dimensions& x, int64_t& axis) {
    const auto per_channel = [&](size_t input, const char* name) {
      return varies(dimensions(context, input), x, kName, name, axis);
    };
    const bool scale = per_channel(1, "scale"), first = per_channel(2, "first"), last = per_channel(3, "last");
    return {context.GetInput(1).GetTensorData<float>(),
            context.GetInput(2).GetTensorData<float>(),
            context.GetInput(3).GetTensorData<float>(),
            scale,
            first,
            last};
  }

  static auto cpu_f32() { return ONNXQ_DISPATCH(mid_tread_f32); }
  static auto cpu_f16() { return ONNXQ_DISPATCH(mid_tread_f16); }
#ifdef ONNXQ_WITH_CUDA
  static auto cuda(bool half) { return half ? mid_tread_cuda_f16 : mid_tread_cuda_f32; }
#endif
};

}  // namespace

void add_fake_quantize_mid_tread(Ort::CustomOpDomain& domain) { add_elementwise<FakeQuantizeMidTread>(domain); }

}  // namespace onnxq
