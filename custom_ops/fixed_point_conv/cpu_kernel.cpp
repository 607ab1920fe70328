// Compiled once for each instruction set. A row of outputs at a time: positions in the padding add nothing, since 0 is
// code 0 in every format.
#include "cpu_isa.h"
#include "fixed_point_conv/kernels.h"

namespace onnxq {
namespace {

// One weight's products along a row, added to the sums.
void add_products(const float* __restrict x, double* __restrict sums, int64_t count, int64_t stride, float weight,
                  float inverse_step, FixedPointFormat format) {
  for (int64_t i = 0; i < count; ++i) {
    const float product = x[i * stride] * weight;
    sums[i] += static_cast<double>(into_range(round_to(product * inverse_step, format.rounding), format));
  }
}

// The plane of x that an output channel reads first.
const float* first_plane(const FixedPointConvCall& call, int64_t image, int64_t output) {
  const FixedPointConvShape& s = call.shape;
  const int64_t start = output / (s.outputs / s.group) * s.inputs;
  return call.x + (image * s.channels + start) * s.height * s.width;
}

int64_t ceil_div(int64_t a, int64_t b) { return a <= 0 ? 0 : (a + b - 1) / b; }

}  // namespace

void ONNXQ_KERNEL(fixed_point_conv)(const FixedPointConvCall& call, int64_t image, int64_t output, double* sums) {
  const FixedPointConvShape& s = call.shape;
  const int32_t fraction_bits = call.fraction_bits[call.per_channel ? output : 0];
  const float inverse_step = ldexpf(1.0f, fraction_bits), step = ldexpf(1.0f, negated(fraction_bits));
  const float* planes = first_plane(call, image, output);
  const float* weights = call.weight + output * s.inputs * s.kernel_h * s.kernel_w;
  float* y = call.y + (image * s.outputs + output) * s.out_h * s.out_w;
  for (int64_t row = 0; row < s.out_h; ++row) {
    for (int64_t i = 0; i < s.out_w; ++i) sums[i] = 0.0;
    for (int64_t input = 0; input < s.inputs; ++input) {
      for (int64_t ky = 0; ky < s.kernel_h; ++ky) {
        const int64_t source = row * s.stride_h - s.pad_top + ky * s.dilation_h;
        if (source < 0 || source >= s.height) continue;
        const float* x = planes + (input * s.height + source) * s.width;
        for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
          const int64_t offset = kx * s.dilation_w - s.pad_left;  // of the first output's source
          const int64_t begin = ceil_div(-offset, s.stride_w);
          const int64_t past = ceil_div(s.width - offset, s.stride_w);
          const int64_t end = past < s.out_w ? past : s.out_w;
          if (begin < end)
            add_products(x + begin * s.stride_w + offset, sums + begin, end - begin, s.stride_w,
                         weights[(input * s.kernel_h + ky) * s.kernel_w + kx], inverse_step, call.format);
        }
      }
    }
    for (int64_t i = 0; i < s.out_w; ++i)
      y[row * s.out_w + i] = finish(sums[i], call.bias[output], inverse_step, step, call.format);
  }
}

}  // namespace onnxq
