// Elementwise operators whose parameters are one value, or one value a channel: shapes and the split over threads.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "op_base.h"

namespace onnxq {

constexpr int64_t kGrain = 1 << 15;  // values a task, about 128 KiB each way

// x seen as [outer, channels, inner], contiguous.
struct ChannelShape {
  int64_t outer = 1;
  int64_t channels = 1;
  int64_t inner = 1;

  int64_t size() const { return outer * channels * inner; }
};

// Axis of x along which a parameter varies, or -1 where it is one value.
inline int64_t axis_of(const std::vector<int64_t>& parameter, const std::vector<int64_t>& x, const char* op,
                       const char* name) {
  int64_t axis = -1;
  const int64_t lead = static_cast<int64_t>(x.size()) - static_cast<int64_t>(parameter.size());
  for (size_t d = 0; d < parameter.size(); ++d) {
    if (parameter[d] == 1) continue;
    const int64_t at = lead + static_cast<int64_t>(d);
    if (axis != -1 || at < 0 || x[static_cast<size_t>(at)] != parameter[d])
      fail(op, std::string(name) + " must be a scalar or have one value for each channel of x");
    axis = at;
  }
  return axis;
}

// x split around an axis; axis -1: one channel that is everything.
inline ChannelShape split_at(const std::vector<int64_t>& x, int64_t axis) {
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

// The element type of x; float or float16, or an error. Returns whether it is float16.
inline bool is_half(const Ort::ConstValue& x, const char* op) {
  const auto type = x.GetTensorTypeAndShapeInfo().GetElementType();
  if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16)
    fail(op, "x must be float or float16");
  return type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
}

}  // namespace onnxq
