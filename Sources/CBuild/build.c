#include "CBuild.h"

#include <string.h>

#ifndef DDPM_COMMIT
#define DDPM_COMMIT ""
#endif

const char *ddpm_commit(void) { return DDPM_COMMIT; }

#if defined(__x86_64__)

#define ADD_IF_SUPPORTED(feature, name) \
  if (__builtin_cpu_supports(feature)) strcat(text, text[0] ? " " name : name)

const char *ddpm_processor_features(void) {
  static char text[128];
  text[0] = 0;
  __builtin_cpu_init();
  ADD_IF_SUPPORTED("avx2", "AVX2");
  ADD_IF_SUPPORTED("fma", "FMA");
  ADD_IF_SUPPORTED("avx512f", "AVX-512F");
  ADD_IF_SUPPORTED("avx512bw", "AVX-512BW");
  ADD_IF_SUPPORTED("avx512vl", "AVX-512VL");
  ADD_IF_SUPPORTED("avx512bf16", "AVX-512BF16");
  return text;
}

#elif defined(__aarch64__)

const char *ddpm_processor_features(void) { return "NEON"; }

#else

const char *ddpm_processor_features(void) { return ""; }

#endif
