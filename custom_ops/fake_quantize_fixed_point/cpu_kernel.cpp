// Compiled once for each instruction set.
#include "cpu_isa.h"
#include "fake_quantize_fixed_point/kernels.h"

namespace onnxq {

ONNXQ_DEFINE_CPU(fixed_point, FixedPointParameters, function_of)

}  // namespace onnxq
