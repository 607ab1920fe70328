#include "elementwise.cuh"
#include "fake_quantize_fixed_point/kernels.h"

namespace onnxq {

ONNXQ_DEFINE_CUDA(fixed_point, FixedPointParameters, PlainOperator<FixedPointParameters>)

}  // namespace onnxq
