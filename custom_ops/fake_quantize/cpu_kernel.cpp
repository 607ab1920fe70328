// Compiled once for each instruction set; the loops are written for the compiler to vectorize.
#include "arithmetic.h"
#include "cpu_isa.h"
#include "fake_quantize/kernels.h"

namespace onnxq {

void ONNXQ_KERNEL(fake_quantize_f32)(const float* __restrict x, float* __restrict y, int64_t count, float scale,
                                     float zero_point, int32_t bits) {
  const UniformGrid grid{scale, zero_point, top_code(bits)};
  for (int64_t i = 0; i < count; ++i) y[i] = fake_quantize(x[i], grid);
}

void ONNXQ_KERNEL(fake_quantize_f16)(const uint16_t* __restrict x, uint16_t* __restrict y, int64_t count, float scale,
                                     float zero_point, int32_t bits) {
  const UniformGrid grid{scale, zero_point, top_code(bits)};
  const _Float16* in = reinterpret_cast<const _Float16*>(x);
  _Float16* out = reinterpret_cast<_Float16*>(y);
  for (int64_t i = 0; i < count; ++i)
    out[i] = static_cast<_Float16>(fake_quantize(static_cast<float>(in[i]), grid));
}

}  // namespace onnxq
