// The ONNX Runtime operator FakeQuantizeFixedPoint: checks its inputs, then calls the kernel of its provider.
#pragma once

#include "onnxruntime_cxx_api.h"

namespace onnxq {

void add_fake_quantize_fixed_point(Ort::CustomOpDomain& domain);

}  // namespace onnxq
