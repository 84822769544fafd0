#include "CKernels.h"
#include "ck_internal.h"

const char *ck_instructions(void) {
#if defined(CK_HAS_CLONES)
  return __builtin_cpu_supports("x86-64-v4") ? "AVX-512" : __builtin_cpu_supports("x86-64-v3") ? "AVX2" : "SSE";
#elif defined(__aarch64__)
  return "NEON";
#else
  return "SSE";
#endif
}
