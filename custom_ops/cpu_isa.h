// Run-time choice between builds of the same kernel source for different instruction sets.
//
// Each cpu_kernel.cpp is compiled three times with ONNXQ_ISA = baseline, avx2 and avx512; it must not
// include standard-library templates, whose instances the linker could share between the builds.
#pragma once

#include <stdlib.h>
#include <string.h>

#define ONNXQ_CONCAT_(a, b) a##_##b
#define ONNXQ_CONCAT(a, b) ONNXQ_CONCAT_(a, b)
#define ONNXQ_KERNEL(name) ONNXQ_CONCAT(name, ONNXQ_ISA)

namespace onnxq {

enum class Isa { baseline, avx2, avx512 };

// The best set that the processor has, or a lesser one that ONNXQ_CPU_ISA names (for tests and comparisons).
inline Isa choose_isa() {
#if defined(__x86_64__)
  const char* wish = getenv("ONNXQ_CPU_ISA");
  const bool up_to_baseline = wish != nullptr && strcmp(wish, "baseline") == 0;
  const bool up_to_avx2 = up_to_baseline || (wish != nullptr && strcmp(wish, "avx2") == 0);
  const bool has_f16c = __builtin_cpu_supports("f16c");
  if (!up_to_avx2 && has_f16c && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return Isa::avx512;
  if (!up_to_baseline && has_f16c && __builtin_cpu_supports("avx2")) return Isa::avx2;
#endif
  return Isa::baseline;
}

inline Isa best_isa() {
  static const Isa isa = choose_isa();
  return isa;
}

#if defined(__x86_64__)
#define ONNXQ_DISPATCH(name) \
  (best_isa() == Isa::avx512 ? name##_avx512 : best_isa() == Isa::avx2 ? name##_avx2 : name##_baseline)
#else
#define ONNXQ_DISPATCH(name) name##_baseline
#endif

}  // namespace onnxq
