#include "fake_quantize/op.h"

#include <algorithm>
#include <string>
#include <vector>

#include "cpu_isa.h"
#include "fake_quantize/kernels.h"
#include "op_base.h"

namespace onnxq {
namespace {

constexpr const char* kName = "FakeQuantize";
constexpr int64_t kGrain = 1 << 15;  // values a task, about 128 KiB each way

// Axis of x along which a parameter varies, or -1 where it is one value.
int64_t axis_of(const std::vector<int64_t>& parameter, const std::vector<int64_t>& x, const char* name) {
  int64_t axis = -1;
  const int64_t lead = static_cast<int64_t>(x.size()) - static_cast<int64_t>(parameter.size());
  for (size_t d = 0; d < parameter.size(); ++d) {
    if (parameter[d] == 1) continue;
    const int64_t at = lead + static_cast<int64_t>(d);
    if (axis != -1 || at < 0 || x[static_cast<size_t>(at)] != parameter[d])
      fail(kName, std::string(name) + " must be a scalar or have one value for each channel of x");
    axis = at;
  }
  return axis;
}

struct Call {
  FakeQuantizeShape shape;
  FakeQuantizeParameters parameters;
};

Call parse(const Ort::KernelContext& context) {
  const auto dimensions = [&](size_t input) { return context.GetInput(input).GetTensorTypeAndShapeInfo().GetShape(); };
  const std::vector<int64_t> x = dimensions(0);
  const int64_t axes[] = {axis_of(dimensions(1), x, "scale"), axis_of(dimensions(2), x, "zero_point"),
                          axis_of(dimensions(3), x, "bits")};
  const int64_t axis = *std::max_element(std::begin(axes), std::end(axes));
  for (const int64_t other : axes)
    if (other != -1 && other != axis) fail(kName, "scale, zero_point and bits must vary along the same axis of x");
  FakeQuantizeShape shape{1, 1, 1};
  for (int64_t d = 0; d < static_cast<int64_t>(x.size()); ++d) {
    int64_t& part = d < axis ? shape.outer : d == axis ? shape.channels : shape.inner;
    part *= x[static_cast<size_t>(d)];
  }
  return {shape,
          {context.GetInput(1).GetTensorData<float>(), context.GetInput(2).GetTensorData<float>(),
           context.GetInput(3).GetTensorData<int32_t>(), axes[0] != -1, axes[1] != -1, axes[2] != -1}};
}

template <typename T, typename Kernel>
void run_cpu(const Ort::KernelContext& context, const Call& call, const T* x, T* y, Kernel kernel) {
  const auto& [shape, p] = call;
  if (shape.outer * shape.channels * shape.inner == 0) return;
  // A plane is `inner` consecutive values of one channel. Large planes are cut, small ones grouped.
  const int64_t cuts = (shape.inner + kGrain - 1) / kGrain;
  const int64_t cut = (shape.inner + cuts - 1) / cuts;
  const int64_t group = std::max<int64_t>(1, kGrain / shape.inner);
  parallel_for(context, shape.outer * shape.channels * cuts, group, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t plane = piece / cuts, offset = (piece % cuts) * cut;
      const int64_t channel = plane % shape.channels;
      const int64_t start = plane * shape.inner + offset;
      kernel(x + start, y + start, std::min(cut, shape.inner - offset), p.scale[p.scale_per_channel ? channel : 0],
             p.zero_point[p.zero_point_per_channel ? channel : 0], p.bits[p.bits_per_channel ? channel : 0]);
    }
  });
}

struct Kernel {
  Provider provider;

  void Compute(OrtKernelContext* raw) {
    const Ort::KernelContext context(raw);
    const Call call = parse(context);
    const auto input = context.GetInput(0);
    const auto info = input.GetTensorTypeAndShapeInfo();
    const auto type = info.GetElementType();
    if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16)
      fail(kName, "x must be float or float16");
    auto output = Ort::KernelContext(raw).GetOutput(0, info.GetShape());
    const bool half = info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    const void* x = input.GetTensorRawData();
    void* y = output.GetTensorMutableRawData();
    if (provider == Provider::cpu) {
      if (half)
        run_cpu(context, call, static_cast<const uint16_t*>(x), static_cast<uint16_t*>(y), ONNXQ_DISPATCH(fake_quantize_f16));
      else
        run_cpu(context, call, static_cast<const float*>(x), static_cast<float*>(y), ONNXQ_DISPATCH(fake_quantize_f32));
      return;
    }
#ifdef ONNXQ_WITH_CUDA
    const auto launch = half ? fake_quantize_cuda_f16 : fake_quantize_cuda_f32;
    if (const int error = launch(x, y, call.shape, call.parameters, context.GetGPUComputeStream()))
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
