// Elementwise operators y = f(channel)(x) on float or float16 x, whose parameters are one value or one value a channel.
//
// An operator is a struct `Op` with
//   kName, kInputs, input_type(i)      its name and its inputs; input 0 is x
//   Op(const OrtKernelInfo*)           reads its attributes
//   Parameters                         plain pointers, for the kernels
//   parse(context, x, axis)            checks the inputs; sets the axis of the channels, -1 for none
//   for_cpu(Parameters, body)          calls body(Parameters) with what the CPU kernels want besides (NothingBesides)
//   cpu_f32(), cpu_f16()               kernels of `count` consecutive values of one channel
//   cuda(half)                         launches the CUDA kernel
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "channel_shape.h"
#include "op_base.h"

namespace onnxq {

constexpr int64_t kGrain = 1 << 15;  // values a task, about 128 KiB each way

using Dimensions = std::vector<int64_t>;

inline Dimensions dimensions(const Ort::KernelContext& context, size_t input) {
  return context.GetInput(input).GetTensorTypeAndShapeInfo().GetShape();
}

// Axis of x along which a parameter varies, or -1 where it is one value. `axis` is that of the other parameters.
inline bool varies(const Dimensions& parameter, const Dimensions& x, const char* op, const char* name, int64_t& axis) {
  int64_t own = -1;
  const int64_t lead = static_cast<int64_t>(x.size()) - static_cast<int64_t>(parameter.size());
  for (size_t d = 0; d < parameter.size(); ++d) {
    if (parameter[d] == 1) continue;
    const int64_t at = lead + static_cast<int64_t>(d);
    if (own != -1 || at < 0 || x[static_cast<size_t>(at)] != parameter[d])
      fail(op, std::string(name) + " must be a scalar or have one value for each channel of x");
    own = at;
  }
  if (own == -1) return false;
  if (axis != -1 && axis != own) fail(op, "the parameters must vary along the same axis of x");
  axis = own;
  return true;
}

// x split around an axis; axis -1: one channel that is everything.
inline ChannelShape split_at(const Dimensions& x, int64_t axis) {
  ChannelShape shape;
  for (int64_t d = 0; d < static_cast<int64_t>(x.size()); ++d) {
    int64_t& part = d < axis ? shape.outer : d == axis ? shape.channels : shape.inner;
    part *= x[static_cast<size_t>(d)];
  }
  return shape;
}

// body(channel, start, count) for runs of consecutive values of one channel, over the session's threads.
// A plane is `inner` values; large planes are cut, small ones grouped.
template <typename Body>
void for_each_run(const Ort::KernelContext& context, const ChannelShape& shape, const Body& body) {
  if (shape.size() == 0) return;
  const int64_t cuts = (shape.inner + kGrain - 1) / kGrain;
  const int64_t cut = (shape.inner + cuts - 1) / cuts;
  const int64_t group = std::max<int64_t>(1, kGrain / shape.inner);
  parallel_for(context, shape.outer * shape.channels * cuts, group, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t plane = piece / cuts, offset = (piece % cuts) * cut;
      body(plane % shape.channels, plane * shape.inner + offset, std::min(cut, shape.inner - offset));
    }
  });
}

// Of operators whose CPU kernels want nothing but the parameters.
struct NothingBesides {
  template <typename Parameters, typename Body>
  static void for_cpu(const Parameters& parameters, const Body& body) {
    body(parameters);
  }
};

template <typename Op, Provider kProvider>
struct ElementwiseKernel {
  Op op;

  explicit ElementwiseKernel(const OrtKernelInfo* info) : op(info) {}

  void Compute(OrtKernelContext* raw) {
    const Ort::KernelContext context(raw);
    const auto input = context.GetInput(0);
    const auto type = input.GetTensorTypeAndShapeInfo().GetElementType();
    const bool half = type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    if (!half && type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) fail(Op::kName, "x must be float or float16");
    const Dimensions x_dimensions = dimensions(context, 0);
    int64_t axis = -1;
    const typename Op::Parameters parameters = op.parse(context, x_dimensions, axis);
    const ChannelShape shape = split_at(x_dimensions, axis);
    const void* x = input.GetTensorRawData();
    void* y = Ort::KernelContext(raw).GetOutput(0, x_dimensions).GetTensorMutableRawData();
    if constexpr (kProvider == Provider::cpu) {
      Op::for_cpu(parameters, [&](const typename Op::Parameters& p) {
        if (half)
          run<uint16_t>(context, shape, x, y, p, Op::cpu_f16());
        else
          run<float>(context, shape, x, y, p, Op::cpu_f32());
      });
    } else {
#ifdef ONNXQ_WITH_CUDA
      const char* launch = half ? "elementwise_kernel (float16)" : "elementwise_kernel (float)";
      check_launch(Op::kName, launch, Op::cuda(half)(x, y, shape, parameters, context.GetGPUComputeStream()));
#endif
    }
  }

  template <typename T, typename Kernel>
  static void run(const Ort::KernelContext& context, const ChannelShape& shape, const void* x, void* y,
                  const typename Op::Parameters& parameters, Kernel kernel) {
    for_each_run(context, shape, [&](int64_t channel, int64_t start, int64_t count) {
      kernel(static_cast<const T*>(x) + start, static_cast<T*>(y) + start, count, channel, parameters);
    });
  }
};

// x and y are of either float type; the parameters have types of their own. y may lie where x does.
//
// There is no InferOutputShape: ONNX Runtime gives it no types, and y's is that of x.
template <typename Op, Provider kProvider>
struct ElementwiseOp : Operator<ElementwiseOp<Op, kProvider>, ElementwiseKernel<Op, kProvider>, kProvider> {
  ElementwiseOp() {
    this->GetMayInplace = [](int** inputs, int** outputs) -> size_t {
      *inputs = new int[1]{0};
      *outputs = new int[1]{0};
      return 1;
    };
    this->ReleaseMayInplace = [](int* inputs, int* outputs) {
      delete[] inputs;
      delete[] outputs;
    };
  }
  const char* GetName() const { return Op::kName; }
  size_t GetInputTypeCount() const { return Op::kInputs; }
  ONNXTensorElementDataType GetInputType(size_t input) const {
    return input == 0 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED : Op::input_type(input);
  }
  size_t GetOutputTypeCount() const { return 1; }
  ONNXTensorElementDataType GetOutputType(size_t) const { return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED; }
};

template <typename Op>
void add_elementwise(Ort::CustomOpDomain& domain) {
  add_operator<ElementwiseOp<Op, Provider::cpu>, ElementwiseOp<Op, Provider::cuda>>(domain);
}

}  // namespace onnxq
