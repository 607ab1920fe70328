#include "fake_quantize/kernels.h"

#include "elementwise.cuh"

namespace onnxq {

ONNXQ_DEFINE_CUDA(fake_quantize, FakeQuantizeParameters, PlainOperator<FakeQuantizeParameters>, 0)

}  // namespace onnxq
