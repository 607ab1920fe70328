#include "fake_quantize_fixed_point/kernels.h"

#include "elementwise.cuh"

namespace onnxq {

ONNXQ_DEFINE_CUDA(fixed_point, FixedPointParameters, PlainOperator<FixedPointParameters>, 0)

}  // namespace onnxq
