#include "observe/op.h"

#include <algorithm>
#include <string>
#include <vector>

#include "arithmetic.h"
#include "cpu_isa.h"
#include "observe/kernels.h"
#include "op_base.h"

namespace onnxq {
namespace {

constexpr const char* kName = "Observe";
constexpr int64_t kGrain = 1 << 14;  // values a task

struct Kernel {
  Provider provider;

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
    if (provider == Provider::cpu) {
      const auto kernel = ONNXQ_DISPATCH(observe_channel);
      const int64_t channel_size = std::max<int64_t>(1, shape.batch * shape.inner);
      const int64_t group = std::max<int64_t>(1, kGrain / channel_size);
      parallel_for(context, shape.channels, group, [&](int64_t begin, int64_t end) {
        for (int64_t channel = begin; channel < end; ++channel) kernel(x, shape, channel, out);
      });
      return;
    }
#ifdef ONNXQ_WITH_CUDA
    if (const int error = observe_cuda(x, shape, out, context.GetGPUComputeStream()))
      fail(kName, "CUDA error " + std::to_string(error));
#endif
  }
};

template <Provider kProvider>
struct Observe : Ort::CustomOpBase<Observe<kProvider>, Kernel> {
  void* CreateKernel(const OrtApi&, const OrtKernelInfo*) const { return new Kernel{kProvider}; }
  const char* GetName() const { return kName; }
  const char* GetExecutionProviderType() const { return provider_name<kProvider>(); }
  size_t GetInputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetInputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
  size_t GetOutputTypeCount() const { return 5; }
  ONNXTensorElementDataType GetOutputType(size_t output) const {
    return output < 2   ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
           : output < 4 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE
                        : ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
  }
};

}  // namespace

void add_observe(Ort::CustomOpDomain& domain) {
  static const Observe<Provider::cpu> cpu;
  domain.Add(&cpu);
#ifdef ONNXQ_WITH_CUDA
  static const Observe<Provider::cuda> cuda;
  domain.Add(&cuda);
#endif
}

}  // namespace onnxq
