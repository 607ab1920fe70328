#include "fake_quantize_codebook/op.h"

#include "arithmetic.h"
#include "channels.h"
#include "cpu_isa.h"
#include "fake_quantize_codebook/kernels.h"

namespace onnxq {
namespace {

constexpr const char* kName = "FakeQuantizeCodebook";

struct Call {
  ChannelShape shape;
  CodebookParameters parameters;
};

Call parse(const Ort::KernelContext& context) {
  const auto dimensions = [&](size_t input) { return context.GetInput(input).GetTensorTypeAndShapeInfo().GetShape(); };
  const std::vector<int64_t> x = dimensions(0), levels = dimensions(2);
  if (levels.size() != 1 || levels[0] < 1 || levels[0] > kMaxLevels)
    fail(kName, "levels must be 1 to " + std::to_string(kMaxLevels) + " values");
  const int64_t axis = axis_of(dimensions(1), x, kName, "scale");
  return {split_at(x, axis),
          {context.GetInput(1).GetTensorData<float>(), context.GetInput(2).GetTensorData<float>(),
           static_cast<int32_t>(levels[0]), axis != -1}};
}

template <typename T, typename Kernel>
void run_cpu(const Ort::KernelContext& context, const Call& call, const void* x, void* y, Kernel kernel) {
  const CodebookParameters& p = call.parameters;
  float bounds[kCodebookBounds];
  for (int32_t i = 0; i < kCodebookBounds; ++i) bounds[i] = codebook_bound(p.levels, p.count, i);
  for_each_run(context, call.shape, [&](int64_t channel, int64_t start, int64_t count) {
    kernel(static_cast<const T*>(x) + start, static_cast<T*>(y) + start, count, p.scale[p.scale_per_channel ? channel : 0],
           p.levels, bounds);
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
        run_cpu<uint16_t>(context, call, x, y, ONNXQ_DISPATCH(codebook_f16));
      else
        run_cpu<float>(context, call, x, y, ONNXQ_DISPATCH(codebook_f32));
      return;
    }
#ifdef ONNXQ_WITH_CUDA
    const auto launch = half ? codebook_cuda_f16 : codebook_cuda_f32;
    const ChannelShape& shape = call.shape;
    if (const int error = launch(x, y, shape.outer, shape.channels, shape.inner, call.parameters,
                                 context.GetGPUComputeStream()))
      fail(kName, "CUDA error " + std::to_string(error));
#endif
  }
};

template <Provider kProvider>
struct FakeQuantizeCodebook : Ort::CustomOpBase<FakeQuantizeCodebook<kProvider>, Kernel> {
  void* CreateKernel(const OrtApi&, const OrtKernelInfo*) const { return new Kernel{kProvider}; }
  const char* GetName() const { return kName; }
  const char* GetExecutionProviderType() const { return provider_name<kProvider>(); }
  size_t GetInputTypeCount() const { return 3; }
  ONNXTensorElementDataType GetInputType(size_t input) const {
    return input == 0 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED; }
};

}  // namespace

void add_fake_quantize_codebook(Ort::CustomOpDomain& domain) {
  static const FakeQuantizeCodebook<Provider::cpu> cpu;
  domain.Add(&cpu);
#ifdef ONNXQ_WITH_CUDA
  static const FakeQuantizeCodebook<Provider::cuda> cuda;
  domain.Add(&cuda);
#endif
}

}  // namespace onnxq
