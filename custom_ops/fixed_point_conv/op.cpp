#include <vector>

#include "cpu_isa.h"
#include "fixed_point_conv/kernels.h"
#include "fixed_point_format.h"
#include "op_base.h"
#include "operators.h"

namespace onnxq {
namespace {

constexpr const char* kName = "FixedPointConv";
constexpr int64_t kLargest = (int64_t{1} << 31) - 1;
constexpr int64_t kMostValues = int64_t{1} << 40;  // of an output, far beyond what memory holds
using Values = std::vector<int64_t>;

template <Provider kProvider>
struct Kernel {
  FixedPointFormat format;
  Values strides, pads, dilations;
  int64_t group;

  explicit Kernel(const OrtKernelInfo* raw) : format(read_format(raw, kName)) {
    const Ort::ConstKernelInfo info(raw);
    strides = info.GetAttributes<int64_t>("strides");
    pads = info.GetAttributes<int64_t>("pads");
    dilations = info.GetAttributes<int64_t>("dilations");
    group = info.GetAttribute<int64_t>("group");
    if (strides.size() != 2 || pads.size() != 4 || dilations.size() != 2 || group < 1)
      fail(kName, "strides and dilations must have 2 values, pads 4, and group must be positive");
    // Bounds that keep all sums and products of them and of sizes within 64 bits.
    for (const Values* values : {&strides, &dilations})
      for (int64_t value : *values)
        if (value < 1 || value > kLargest) fail(kName, "strides and dilations must lie between 1 and 2^31 - 1");
    for (int64_t value : pads)
      if (value < 0 || value > kLargest) fail(kName, "pads must lie between 0 and 2^31 - 1");
    if (group > kLargest) fail(kName, "group must be below 2^31");
  }

  FixedPointConvShape shape_of(const Values& x, const Values& w) const {
    for (const Values* sizes : {&x, &w})
      for (int64_t size : *sizes)
        if (size > kLargest) fail(kName, "sizes must be below 2^31");
    if (x.size() != 4 || w.size() != 4 || x[1] != w[1] * group || w[0] % group)
      fail(kName, "x must be [N, C, H, W] and the weight [M, C / group, kh, kw]");
    const auto output = [&](int64_t size, int64_t padding, int64_t kernel, size_t d) {
      const int64_t room = size + padding - (dilations[d] * (kernel - 1) + 1);
      return room < 0 ? 0 : room / strides[d] + 1;
    };
    const int64_t out_h = output(x[2], pads[0] + pads[2], w[2], 0), out_w = output(x[3], pads[1] + pads[3], w[3], 1);
    int64_t values = 1;
    for (int64_t size : {out_h, out_w, w[0], x[0]})
      if (__builtin_mul_overflow(values, size, &values) || values > kMostValues) fail(kName, "the output is too large");
    return {x[0],  x[1],       x[2],       x[3],    w[0],    w[1],         w[2],         w[3], out_h,
            out_w, strides[0], strides[1], pads[0], pads[1], dilations[0], dilations[1], group};
  }

  void Compute(OrtKernelContext* raw) {
    Ort::KernelContext context(raw);
    const auto dimensions = [&](size_t i) { return context.GetInput(i).GetTensorTypeAndShapeInfo().GetShape(); };
    const auto count = [&](size_t i) { return context.GetInput(i).GetTensorTypeAndShapeInfo().GetElementCount(); };
    const FixedPointConvShape shape = shape_of(dimensions(0), dimensions(1));
    const size_t outputs = static_cast<size_t>(shape.outputs);
    if (count(2) != outputs || (count(3) != 1 && count(3) != outputs))
      fail(kName, "bias must have a value for each output channel, and fraction_bits too, or one for all");
    const Values out{shape.batch, shape.outputs, shape.out_h, shape.out_w};
    const FixedPointConvCall call{shape,
                                  format,
                                  context.GetInput(0).GetTensorData<float>(),
                                  context.GetInput(1).GetTensorData<float>(),
                                  context.GetInput(2).GetTensorData<float>(),
                                  context.GetInput(3).GetTensorData<int32_t>(),
                                  count(3) != 1,
                                  context.GetOutput(0, out).GetTensorMutableData<float>()};
    if constexpr (kProvider == Provider::cpu) {
      const auto kernel = ONNXQ_DISPATCH(fixed_point_conv);
      parallel_for(context, shape.batch * shape.outputs, 1, [&](int64_t begin, int64_t end) {
        std::vector<double> sums(static_cast<size_t>(shape.out_w));
        for (int64_t plane = begin; plane < end; ++plane)
          kernel(call, plane / shape.outputs, plane % shape.outputs, sums.data());
      });
    } else {
#ifdef ONNXQ_WITH_CUDA
      // Places in planes have 32 bits, and so have rows and columns with their padding.
      const int64_t rows = shape.height + pads[0] + pads[2], columns = shape.width + pads[1] + pads[3];
      for (int64_t size : {rows, columns, shape.height * shape.width, shape.out_h * shape.out_w})
        if (size > kLargest && shape.batch > 0) fail(kName, "on CUDA, planes must have fewer than 2^31 values");
      check_launch(kName, "conv_kernel", fixed_point_conv_cuda(call, context.GetGPUComputeStream()));
#endif
    }
  }
};

template <Provider kProvider>
struct FixedPointConv : Operator<FixedPointConv<kProvider>, Kernel<kProvider>, kProvider> {
  const char* GetName() const { return kName; }
  size_t GetInputTypeCount() const { return 4; }
  ONNXTensorElementDataType GetInputType(size_t input) const {
    return input == 3 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }

  // What is known before there are sizes: images and output channels.
  static OrtStatusPtr InferOutputShape(Ort::ShapeInferContext& context) noexcept {
    return as_status([&] {
      const auto &x = context.GetInputShape(0), &weight = context.GetInputShape(1);
      if (x.size() != 4 || weight.size() != 4) return;
      const Ort::ShapeInferContext::Shape shape{x[0], weight[0], "onnxq_height", "onnxq_width"};
      Ort::ThrowOnError(context.SetOutputShape(0, shape));
    });
  }
};

}  // namespace

void add_fixed_point_conv(Ort::CustomOpDomain& domain) {
  add_operator<FixedPointConv<Provider::cpu>, FixedPointConv<Provider::cuda>>(domain);
}

}  // namespace onnxq
