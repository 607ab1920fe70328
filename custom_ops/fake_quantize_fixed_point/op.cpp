#include "cpu_isa.h"
#include "elementwise_op.h"
#include "fake_quantize_fixed_point/kernels.h"
#include "fixed_point_format.h"
#include "operators.h"

namespace onnxq {
namespace {

struct FakeQuantizeFixedPoint : NothingBesides {
  static constexpr const char* kName = "FakeQuantizeFixedPoint";
  static constexpr size_t kInputs = 2;
  using Parameters = FixedPointParameters;

  explicit FakeQuantizeFixedPoint(const OrtKernelInfo* info) : format(read_format(info, kName)) {}

  static ONNXTensorElementDataType input_type(size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32; }

  Parameters parse(const Ort::KernelContext& context, const Dimensions& x, int64_t& axis) const {
    const bool per_channel = varies(dimensions(context, 1), x, kName, "fraction_bits", axis);
    return {context.GetInput(1).GetTensorData<int32_t>(), per_channel, format};
  }

  static auto cpu_f32() { return ONNXQ_DISPATCH(fixed_point_f32); }
  static auto cpu_f16() { return ONNXQ_DISPATCH(fixed_point_f16); }
#ifdef ONNXQ_WITH_CUDA
  static auto cuda(bool half) { return half ? fixed_point_cuda_f16 : fixed_point_cuda_f32; }
#endif

  FixedPointFormat format;
};

}  // namespace

void add_fake_quantize_fixed_point(Ort::CustomOpDomain& domain) { add_elementwise<FakeQuantizeFixedPoint>(domain); }

}  // namespace onnxq
