/// What the kernels share: vectors of 16 floats, run-time dispatch, partition of work.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

/// Compiles a function once for each instruction set; the loader picks. Other architectures have one vector set: nothing to choose.
#if defined(__x86_64__) && defined(__linux__)
#define CK_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CK_CLONES
#endif

/// Helpers must be inlined into the clones, or they would be compiled for the default instruction set.
#define CK_INLINE static inline __attribute__((always_inline))

/// Sixteen floats: one AVX-512, two AVX2, four SSE or NEON registers. `aligned(4)` allows loads from anywhere.
typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t i16 __attribute__((vector_size(64), aligned(4), may_alias));

CK_INLINE v16 load16(const float *p) { return *(const v16 *)p; }
CK_INLINE void store16(float *p, v16 v) { *(v16 *)p = v; }
CK_INLINE v16 splat16(float value) { return (v16){0} + value; }

/// mask ? a : b in each lane; masks are −1 or 0, as comparisons give.
CK_INLINE v16 select16(i16 mask, v16 a, v16 b) { return (v16)((mask & (i16)a) | (~mask & (i16)b)); }

/// The first n < 16 floats at p, the rest `fill`.
CK_INLINE v16 load_part(const float *p, long n, float fill) {
  float lanes[16];
  for (long i = 0; i < 16; i++) lanes[i] = i < n ? p[i] : fill;
  return load16(lanes);
}

CK_INLINE void store_part(float *p, long n, v16 v) {
  float lanes[16];
  store16(lanes, v);
  for (long i = 0; i < n; i++) p[i] = lanes[i];
}

/// The sum of the lanes, pairwise.
CK_INLINE float sum16(v16 v) {
  float s[16];
  store16(s, v);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; i++) s[i] += s[i + width];
  return s[0];
}

CK_INLINE float max16(v16 v) {
  float s[16];
  store16(s, v);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; i++) s[i] = s[i + width] > s[i] ? s[i + width] : s[i];
  return s[0];
}

/// x < low → low, x > high → high; NaN stays (as it would not with minps, maxps).
CK_INLINE v16 clamp16(v16 x, float low, float high) {
  v16 l = splat16(low), h = splat16(high);
  x = select16(x < l, l, x);
  return select16(x > h, h, x);
}

/// eˣ within 2 ulp, subnormal results and overflow included; NaN stays.
CK_INLINE v16 exp16(v16 x) {
  x = clamp16(x, -104.f, 89.f);
  // x = n·ln 2 + r, |r| ≤ ln 2 / 2; adding 1.5·2²³ rounds to the nearest integer, which then stands in the low bits.
  v16 shifted = x * 1.44269504088896341f + 12582912.f;
  v16 n = shifted - 12582912.f;
  v16 r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  v16 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  // 2ⁿ in two factors, each a normal number, so that the product may be subnormal or infinite.
  i16 exponent = (i16)shifted - 0x4B400000;
  i16 half = exponent >> 1;
  v16 first = (v16)((half + 127) << 23), second = (v16)((exponent - half + 127) << 23);
  return p * first * second;
}

/// σ(x) = 1 / (1 + e⁻ˣ).
CK_INLINE v16 sigmoid16(v16 x) { return 1.f / (1.f + exp16(-x)); }

CK_INLINE long round_up(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }
CK_INLINE long min_long(long a, long b) { return a < b ? a : b; }
CK_INLINE long max_long(long a, long b) { return a > b ? a : b; }

/// The items first..<last of n that a thread works on.
typedef struct {
  long first, last;
} span;

CK_INLINE span share_of(long n, int thread, int threads) { return (span){n * thread / threads, n * (thread + 1) / threads}; }

/// The same with boundaries at multiples of `grain`, so that threads do not write to one cache line.
CK_INLINE span share_in_grains(long n, long grain, int thread, int threads) {
  span grains = share_of((n + grain - 1) / grain, thread, threads);
  return (span){min_long(grains.first * grain, n), min_long(grains.last * grain, n)};
}
