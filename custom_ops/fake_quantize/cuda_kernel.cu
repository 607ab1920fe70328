#include "elementwise.cuh"
#include "fake_quantize/kernels.h"

namespace onnxq {

ONNXQ_DEFINE_CUDA(fake_quantize, FakeQuantizeParameters, PlainOperator<FakeQuantizeParameters>)

}  // namespace onnxq
