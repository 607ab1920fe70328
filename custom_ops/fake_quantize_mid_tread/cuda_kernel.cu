#include "elementwise.cuh"
#include "fake_quantize_mid_tread/kernels.h"

namespace onnxq {

ONNXQ_DEFINE_CUDA(mid_tread, MidTreadParameters, PlainOperator<MidTreadParameters>)

}  // namespace onnxq
