// Compiled once for each instruction set.
#include "fake_quantize/kernels.h"

#include "cpu_isa.h"

namespace onnxq {

ONNXQ_DEFINE_CPU(fake_quantize, FakeQuantizeParameters, function_of)

}  // namespace onnxq
