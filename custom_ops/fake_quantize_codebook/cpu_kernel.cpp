// Compiled once for each instruction set. The bounds below a value are counted, one bound after the other over a block of
// values: that vectorizes, where halving does not, and gives the same index.
#include "fake_quantize_codebook/kernels.h"

#include "cpu_isa.h"

namespace onnxq {
namespace {

constexpr int64_t kBlock = 256;

template <typename T>
void run(const T* __restrict x, T* __restrict y, int64_t count, int64_t channel, const CodebookParameters& p) {
  const float scale = p.scale[p.scale_per_channel ? channel : 0];
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t block = count - start < kBlock ? count - start : kBlock;
    float u[kBlock];
    int32_t index[kBlock];
    for (int64_t i = 0; i < block; ++i) {
      u[i] = static_cast<float>(x[start + i]) / scale;
      index[i] = 0;
    }
    for (int32_t b = 0; b + 1 < p.count; ++b) {
      const float bound = p.bounds[b];
      for (int64_t i = 0; i < block; ++i) index[i] += u[i] > bound ? 1 : 0;
    }
    for (int64_t i = 0; i < block; ++i) {
      const float level = p.levels[index[i]] * scale;
      y[start + i] = static_cast<T>(u[i] == u[i] ? level : u[i]);
    }
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
