// Compiled once for each instruction set. The levels whose bound lies below a value are taken one after the other, over
// a block of values: that vectorizes, where halving does not, and ends at the same level.
#include "cpu_isa.h"
#include "fake_quantize_codebook/kernels.h"

namespace onnxq {
namespace {

constexpr int64_t kBlock = 64;

template <typename T>
void run(const T* x, T* y, int64_t count, int64_t channel, const CodebookParameters& p) {
  const float scale = p.scale[p.scale_per_channel ? channel : 0];
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t block = count - start < kBlock ? count - start : kBlock;
    float u[kBlock] = {}, level[kBlock];
    for (int64_t i = 0; i < block; ++i) u[i] = static_cast<float>(x[start + i]) / scale;
    for (int64_t i = 0; i < kBlock; ++i) level[i] = p.levels[0];
    for (int32_t k = 0; k + 1 < p.count; ++k) {
      const float bound = p.bounds[k], next = p.levels[k + 1];
      for (int64_t i = 0; i < kBlock; ++i) level[i] = u[i] > bound ? next : level[i];
    }
    for (int64_t i = 0; i < block; ++i) y[start + i] = static_cast<T>(u[i] == u[i] ? level[i] * scale : u[i]);
  }
}

}  // namespace

void ONNXQ_KERNEL(codebook_f32)(const float* x, float* y, int64_t count, int64_t channel,
                                const CodebookParameters& parameters) {
  run(x, y, count, channel, parameters);
}

void ONNXQ_KERNEL(codebook_f16)(const uint16_t* x, uint16_t* y, int64_t count, int64_t channel,
                                const CodebookParameters& parameters) {
  run(reinterpret_cast<const _Float16*>(x), reinterpret_cast<_Float16*>(y), count, channel, parameters);
}

}  // namespace onnxq
