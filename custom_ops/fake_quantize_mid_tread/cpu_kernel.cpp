// Compiled once for each instruction set.
#include "fake_quantize_mid_tread/kernels.h"

#include "cpu_isa.h"

namespace onnxq {

ONNXQ_DEFINE_CPU(mid_tread, MidTreadParameters, function_of)

}  // namespace onnxq
