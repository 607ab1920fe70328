// Compiled once for each instruction set; the loops are written for the compiler to vectorize.
#include "arithmetic.h"
#include "cpu_isa.h"
#include "fake_quantize_codebook/kernels.h"

namespace onnxq {

void ONNXQ_KERNEL(codebook_f32)(const float* __restrict x, float* __restrict y, int64_t count, float scale,
                                const float* __restrict levels, const float* __restrict bounds) {
  for (int64_t i = 0; i < count; ++i) y[i] = nearest_level(x[i], scale, levels, bounds);
}

void ONNXQ_KERNEL(codebook_f16)(const uint16_t* __restrict x, uint16_t* __restrict y, int64_t count, float scale,
                                const float* __restrict levels, const float* __restrict bounds) {
  const _Float16* in = reinterpret_cast<const _Float16*>(x);
  _Float16* out = reinterpret_cast<_Float16*>(y);
  for (int64_t i = 0; i < count; ++i)
    out[i] = static_cast<_Float16>(nearest_level(static_cast<float>(in[i]), scale, levels, bounds));
}

}  // namespace onnxq
