// The ONNX Runtime operator Observe.
#pragma once

#include "onnxruntime_cxx_api.h"

namespace onnxq {

void add_observe(Ort::CustomOpDomain& domain);

}  // namespace onnxq
