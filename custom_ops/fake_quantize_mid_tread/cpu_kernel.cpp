// Compiled once for each instruction set.
#include "cpu_isa.h"
#include "fake_quantize_mid_tread/kernels.h"

namespace onnxq {

ONNXQ_DEFINE_CPU(mid_tread, MidTreadParameters, function_of)

}  // namespace onnxq
