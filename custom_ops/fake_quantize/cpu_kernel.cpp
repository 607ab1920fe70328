// Compiled once for each instruction set.
#include "cpu_isa.h"
#include "fake_quantize/kernels.h"

namespace onnxq {

ONNXQ_DEFINE_CPU(fake_quantize, FakeQuantizeParameters, function_of)

}  // namespace onnxq
