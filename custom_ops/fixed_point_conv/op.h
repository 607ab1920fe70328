// The ONNX Runtime operator FixedPointConv: checks its inputs, then calls the kernel of its provider.
#pragma once

#include "onnxruntime_cxx_api.h"

namespace onnxq {

void add_fixed_point_conv(Ort::CustomOpDomain& domain);

}  // namespace onnxq
