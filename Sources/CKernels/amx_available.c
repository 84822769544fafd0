#define _GNU_SOURCE  // syscall
#include "ck_amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// Linux gives a process the 8 KB of tile state only when asked (Documentation/arch/x86/xstate.rst).
enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

static int available;

static unsigned long long enabled_states(void) {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (unsigned long long)high << 32 | low;
}

static void detect(void) {
  const char *off = getenv("DDPM_NO_AMX");
  if (off && off[0] == '1') return;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return;  // OSXSAVE
  const unsigned long long needed = 0x600e6;  // SSE, AVX, AVX-512 (three), tile configuration and data
  if ((enabled_states() & needed) != needed) return;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
  int avx512f = b >> 16 & 1, avx512dq = b >> 17 & 1, avx512bw = b >> 30 & 1, avx512vl = b >> 31 & 1;
  int amx_bf16 = d >> 22 & 1, amx_tile = d >> 24 & 1;
  if (!(avx512f && avx512dq && avx512bw && avx512vl && amx_bf16 && amx_tile)) return;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return;  // AVX512_BF16
  available = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

int ck_amx_available(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, detect);
  return available;
}
#else
int ck_amx_available(void) { return 0; }
#endif
