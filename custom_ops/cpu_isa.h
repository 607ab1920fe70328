// Run-time choice between builds of the same kernel source for different instruction sets.
//
// Each cpu_kernel.cpp is compiled three times with ONNXQ_ISA = baseline, avx2 and avx512; it must not
// include standard-library templates, whose instances the linker could share between the builds.
#pragma once

#define ONNXQ_CONCAT_(a, b) a##_##b
#define ONNXQ_CONCAT(a, b) ONNXQ_CONCAT_(a, b)
#define ONNXQ_KERNEL(name) ONNXQ_CONCAT(name, ONNXQ_ISA)

namespace onnxq {

enum class Isa { baseline, avx2, avx512 };

inline Isa best_isa() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    return Isa::avx512;
  if (__builtin_cpu_supports("avx2")) return Isa::avx2;  // every such processor has F16C
#endif
  return Isa::baseline;
}

#if defined(__x86_64__)
#define ONNXQ_DISPATCH(name) \
  (best_isa() == Isa::avx512 ? name##_avx512 : best_isa() == Isa::avx2 ? name##_avx2 : name##_baseline)
#else
#define ONNXQ_DISPATCH(name) name##_baseline
#endif

}  // namespace onnxq
