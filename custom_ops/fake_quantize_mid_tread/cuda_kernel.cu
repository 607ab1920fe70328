#include "fake_quantize_mid_tread/kernels.h"

#include "elementwise.cuh"

namespace onnxq {

ONNXQ_DEFINE_CUDA(mid_tread, MidTreadParameters, PlainOperator<MidTreadParameters>, 0)

}  // namespace onnxq
