#include "fake_quantize/op.h"

#include "channels.h"
#include "cpu_isa.h"
#include "fake_quantize/kernels.h"

namespace onnxq {
namespace {

constexpr const char* kName = "FakeQuantize";

struct Call {
  ChannelShape shape;
  FakeQuantizeParameters parameters;
};

Call parse(const Ort::KernelContext& context) {
  const auto dimensions = [&](size_t input) { return context.GetInput(input).GetTensorTypeAndShapeInfo().GetShape(); };
  const std::vector<int64_t> x = dimensions(0);
  const int64_t axes[] = {axis_of(dimensions(1), x, kName, "scale"), axis_of(dimensions(2), x, kName, "zero_point"),
                          axis_of(dimensions(3), x, kName, "bits")};
  const int64_t axis = *std::max_element(std::begin(axes), std::end(axes));
  for (const int64_t other : axes)
    if (other != -1 && other != axis) fail(kName, "scale, zero_point and bits must vary along the same axis of x");
  return {split_at(x, axis),
          {context.GetInput(1).GetTensorData<float>(), context.GetInput(2).GetTensorData<float>(),
           context.GetInput(3).GetTensorData<int32_t>(), axes[0] != -1, axes[1] != -1, axes[2] != -1}};
}

template <typename T, typename Kernel>
void run_cpu(const Ort::KernelContext& context, const Call& call, const void* x, void* y, Kernel kernel) {
  const FakeQuantizeParameters& p = call.parameters;
  for_each_run(context, call.shape, [&](int64_t channel, int64_t start, int64_t count) {
    kernel(static_cast<const T*>(x) + start, static_cast<T*>(y) + start, count, p.scale[p.scale_per_channel ? channel : 0],
           p.zero_point[p.zero_point_per_channel ? channel : 0], p.bits[p.bits_per_channel ? channel : 0]);
  });
}

struct Kernel {
  Provider provider;

  void Compute(OrtKernelContext* raw) {
    const Ort::KernelContext context(raw);
    const Call call = parse(context);
    const auto input = context.GetInput(0);
    const bool half = is_half(input, kName);
    const void* x = input.GetTensorRawData();
    void* y = Ort::KernelContext(raw).GetOutput(0, input.GetTensorTypeAndShapeInfo().GetShape()).GetTensorMutableRawData();
    if (provider == Provider::cpu) {
      if (half)
        run_cpu<uint16_t>(context, call, x, y, ONNXQ_DISPATCH(fake_quantize_f16));
      else
        run_cpu<float>(context, call, x, y, ONNXQ_DISPATCH(fake_quantize_f32));
      return;
    }
#ifdef ONNXQ_WITH_CUDA
    const auto launch = half ? fake_quantize_cuda_f16 : fake_quantize_cuda_f32;
    const ChannelShape& shape = call.shape;
    if (const int error = launch(x, y, shape.outer, shape.channels, shape.inner, call.parameters,
                                 context.GetGPUComputeStream()))
      fail(kName, "CUDA error " + std::to_string(error));
#endif
  }
};

// T is either float type; the parameters have their own fixed types.
template <Provider kProvider>
struct FakeQuantize : Ort::CustomOpBase<FakeQuantize<kProvider>, Kernel> {
  void* CreateKernel(const OrtApi&, const OrtKernelInfo*) const { return new Kernel{kProvider}; }
  const char* GetName() const { return kName; }
  const char* GetExecutionProviderType() const { return provider_name<kProvider>(); }
  size_t GetInputTypeCount() const { return 4; }
  ONNXTensorElementDataType GetInputType(size_t input) const {
    if (input == 0) return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;  // float or float16
    return input == 3 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED; }
};

}  // namespace

void add_fake_quantize(Ort::CustomOpDomain& domain) {
  static const FakeQuantize<Provider::cpu> cpu;
  domain.Add(&cpu);
#ifdef ONNXQ_WITH_CUDA
  static const FakeQuantize<Provider::cuda> cuda;
  domain.Add(&cuda);
#endif
}

}  // namespace onnxq
