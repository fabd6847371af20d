#include "kernels/cpu/level.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace muster::kernels {

std::string_view cpu_level_name(CpuLevel level) {
  switch (level) {
    case CpuLevel::kBaseline:
      return "baseline";
    case CpuLevel::kAvx2:
      return "avx2";
    case CpuLevel::kAvx512:
      return "avx512";
  }
  return "unknown";
}

#if defined(__x86_64__)

namespace {

/// Those of x86-64-v3 that not every compiler's __builtin_cpu_supports knows.
bool has_f16c_movbe_lzcnt() {
  unsigned eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((ecx & bit_F16C) == 0 || (ecx & bit_MOVBE) == 0) return false;
  return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_LZCNT) != 0;
}

}  // namespace

CpuLevel detect_cpu_level() {
  // All that -march=x86-64-v3 and -v4 let the compiler use and that some processor lacks; the
  // builtin also asks whether the system saves the wide registers.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                  has_f16c_movbe_lzcnt();
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v4 ? CpuLevel::kAvx512 : v3 ? CpuLevel::kAvx2 : CpuLevel::kBaseline;
}

LevelKernels level_kernels(CpuLevel level, bool extensions) {
  switch (level) {
    case CpuLevel::kBaseline:
      return {&baseline::kTable, ""};
    case CpuLevel::kAvx2:
      return {&avx2::kTable, ""};
    case CpuLevel::kAvx512:
      if (extensions && __builtin_cpu_supports("avx512vnni")) return {&avx512vnni::kTable, "+vnni"};
      return {&avx512::kTable, ""};
  }
  return {};
}

#else

CpuLevel detect_cpu_level() { return CpuLevel::kBaseline; }

LevelKernels level_kernels(CpuLevel level, bool) {
  if (level != CpuLevel::kBaseline) return {};
  return {&baseline::kTable, ""};
}

#endif

}  // namespace muster::kernels
