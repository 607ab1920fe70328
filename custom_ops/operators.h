// The table of operators: each has a folder of this name with op.cpp, which defines add_<folder>, and its kernels.
// CMakeLists.txt reads the folders from here.
#pragma once

#include "onnxruntime_cxx_api.h"

// clang-format off
#define ONNXQ_OPERATORS(operator)     \
  operator(fake_quantize)             \
  operator(fake_quantize_codebook)    \
  operator(fake_quantize_fixed_point) \
  operator(fake_quantize_mid_tread)   \
  operator(fixed_point_conv)          \
  operator(observe)
// clang-format on

namespace onnxq {

#define ONNXQ_DECLARE_OPERATOR(folder) void add_##folder(Ort::CustomOpDomain& domain);
ONNXQ_OPERATORS(ONNXQ_DECLARE_OPERATOR)
#undef ONNXQ_DECLARE_OPERATOR

}  // namespace onnxq
