#include <algorithm>
#include <string>
#include <vector>

#include "arithmetic.h"
#include "cpu_isa.h"
#include "observe/kernels.h"
#include "op_base.h"
#include "operators.h"

namespace onnxq {
namespace {

constexpr const char* kName = "Observe";
constexpr int64_t kGrain = 1 << 14;  // values a task

template <Provider kProvider>
struct Kernel {
  explicit Kernel(const OrtKernelInfo*) {}

  void Compute(OrtKernelContext* raw) {
    Ort::KernelContext context(raw);
    const auto input = context.GetInput(0);
    const std::vector<int64_t> dimensions = input.GetTensorTypeAndShapeInfo().GetShape();
    if (dimensions.size() < 2) fail(kName, "x must have a batch and a channel dimension");
    ObserveShape shape{dimensions[0], dimensions[1], 1};
    for (size_t d = 2; d < dimensions.size(); ++d) shape.inner *= dimensions[d];

    const std::vector<int64_t> vector{shape.channels}, matrix{shape.channels, kBins};
    const ObserveOutputs out{context.GetOutput(0, vector).GetTensorMutableData<float>(),
                             context.GetOutput(1, vector).GetTensorMutableData<float>(),
                             context.GetOutput(2, vector).GetTensorMutableData<double>(),
                             context.GetOutput(3, vector).GetTensorMutableData<double>(),
                             context.GetOutput(4, matrix).GetTensorMutableData<int32_t>()};
    const float* x = input.GetTensorData<float>();
    if constexpr (kProvider == Provider::cpu) {
      const auto kernel = ONNXQ_DISPATCH(observe_channel);
      const int64_t channel_size = std::max<int64_t>(1, shape.batch * shape.inner);
      const int64_t group = std::max<int64_t>(1, kGrain / channel_size);
      parallel_for(context, shape.channels, group, [&](int64_t begin, int64_t end) {
        for (int64_t channel = begin; channel < end; ++channel) kernel(x, shape, channel, out);
      });
    } else {
#ifdef ONNXQ_WITH_CUDA
      check_launch(kName, "observe", observe_cuda(x, shape, out, context.GetGPUComputeStream()));
#endif
    }
  }
};

template <Provider kProvider>
struct Observe : Operator<Observe<kProvider>, Kernel<kProvider>, kProvider> {
  static constexpr size_t kOutputs = 5;

  const char* GetName() const { return kName; }
  size_t GetInputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetInputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
  size_t GetOutputTypeCount() const { return kOutputs; }
  ONNXTensorElementDataType GetOutputType(size_t output) const { return type_of(output); }

  static ONNXTensorElementDataType type_of(size_t output) {
    return output < 2   ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
           : output < 4 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE
                        : ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
  }

  static OrtStatusPtr InferOutputShape(Ort::ShapeInferContext& context) noexcept {
    return as_status([&] {
      const auto& x = context.GetInputShape(0);
      if (x.size() < 2) return;  // not known, or for Compute to refuse
      for (size_t output = 0; output < kOutputs; ++output) {
        Ort::ShapeInferContext::Shape shape{x[1]};
        if (output == kOutputs - 1) shape.emplace_back(int64_t{kBins});
        Ort::ThrowOnError(context.SetOutputShape(output, shape, type_of(output)));
      }
    });
  }
};

}  // namespace

void add_observe(Ort::CustomOpDomain& domain) { add_operator<Observe<Provider::cpu>, Observe<Provider::cuda>>(domain); }

}  // namespace onnxq
