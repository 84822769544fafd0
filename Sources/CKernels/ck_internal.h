/// What the kernels share: vectors of 16 floats, run-time dispatch.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "ck_work.h"

/// Compiles a function once for each instruction set; the loader picks. Other architectures have one vector set:
/// nothing to choose.
/// `-DCK_CLONES=` leaves the compiler's own instruction set alone, to test it.
#if defined(CK_CLONES)
#elif defined(CK_THREAD_SANITIZER)  // the choice is made before the sanitizer, which watches the function that makes it, has started
#define CK_CLONES
#elif defined(__x86_64__) && defined(__GLIBC__)  // the choice is made by an ifunc, which musl lacks
#define CK_HAS_CLONES 1
#define CK_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CK_CLONES
#endif

/// Sixteen floats: one AVX-512, two AVX2, four SSE or NEON registers. `aligned(4)` allows loads from anywhere.
typedef float v16 __attribute__((vector_size(64), aligned(4), may_alias));
/// Integers and masks of the same width.
typedef int32_t i16 __attribute__((vector_size(64), aligned(4), may_alias));

// Vectors wider than the default instruction set may not be passed to or returned from a function by value, even an
// inlined one:
// hence macros for the smallest operations, and pointers elsewhere.

#define load16(p) (*(const v16 *)(p))
#define store16(p, v) (*(v16 *)(p) = (v))
#define splat16(value) ((v16){0} + (float)(value))

// MARK: results past the caches

/// Whether a result of `count` floats is better written past the caches: it is larger than what they keep of it for whoever reads it next, and
/// the memory below need not be read before it is overwritten.
CK_INLINE int streams(const float *p, long count) {
  enum { LARGE = 1 << 20 };
  return count >= LARGE && (uintptr_t)p % sizeof(v16) == 0;
}

/// *v to p, past the caches where `streams`.
CK_INLINE void put(float *p, const v16 *v, int streams) {
  typedef float aligned __attribute__((vector_size(64), may_alias));
  if (streams)
    __builtin_nontemporal_store((aligned)*v, (aligned *)p);
  else
    store16(p, *v);
}

/// Before another thread reads what this one has streamed.
CK_INLINE void end_of_stream(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/// mask ? a : b in each lane; masks are −1 or 0, as comparisons give.
#define select16(mask, a, b)                                              \
  ({                                                                      \
    i16 select_mask = (i16)(mask);                                        \
    (v16)((select_mask & (i16)(v16)(a)) | (~select_mask & (i16)(v16)(b))); \
  })

/// min(max(x, low), high), except that NaN stays NaN (as it would not with minps, maxps). low, high are floats.
#define clamp16(x, low, high)                                          \
  ({                                                                   \
    v16 clamp_x = (x), clamp_low = splat16(low), clamp_high = splat16(high); \
    clamp_x = select16(clamp_x < clamp_low, clamp_low, clamp_x);       \
    select16(clamp_x > clamp_high, clamp_high, clamp_x);               \
  })

/// eˣ = p·2ⁿ: n = round(x / ln 2), p = e^(x − n ln 2) in [√½, √2]. `shifted`'s low bits hold n; |x| ≤ 104 or NaN.
#define CK_EXP_PARTS(x, shifted, p)                                                             \
  /* x = n·ln 2 + r, |r| ≤ ln 2 / 2; adding 1.5·2²³ rounds to an integer, which stands in the low bits. */ \
  v16 shifted = (x) * 1.44269504088896341f + 12582912.f;                                        \
  v16 exp_n = shifted - 12582912.f;                                                             \
  v16 exp_r = (x) - exp_n * 0.693359375f;                                                       \
  exp_r = exp_r + exp_n * 2.12194440e-4f;                                                       \
  /* e^r by a polynomial of the sixth degree, 3e-9 off at most; in pairs of powers, for the shorter chain. */ \
  v16 exp_r2 = exp_r * exp_r;                                                                   \
  v16 p = (exp_r * 1.3814540172e-3f + 8.3687451805e-3f) * exp_r + 4.1668390789e-2f;             \
  p = p * exp_r2 + (exp_r * 1.6666520398e-1f + 4.9999993432e-1f);                               \
  p = p * exp_r2 + (exp_r + 1.f);

/// *x = e^*x within 2 ulp, subnormal results and overflow included; NaN stays.
CK_INLINE void exp_in_place(v16 *value) {
  v16 x = clamp16(*value, -104.f, 89.f);
  CK_EXP_PARTS(x, shifted, p)
  // 2ⁿ in two factors, each a normal number, so that the product may be subnormal or infinite.
  i16 exponent = (i16)shifted - 0x4B400000;
  i16 half = exponent >> 1;
  v16 first = (v16)((half + 127) << 23), second = (v16)((exponent - half + 127) << 23);
  *value = p * first * second;
}

/// The same for x ≤ 88, at two thirds of the cost: results below 1e-37 become zero.
CK_INLINE void exp_bounded_in_place(v16 *value) {
  v16 x = *value;
  i16 vanishes = x < splat16(-85.f);
  CK_EXP_PARTS(x, shifted, p)
  // The addition of 1.5·2²³ left 2²³ multiples that the shift drops.
  v16 power = (v16)(((i16)shifted << 23) + 0x3F800000);
  *value = (v16)(~vanishes & (i16)(p * power));
}

/// 1/σ(u) = 1 + e⁻ᵘ within 2 ulp for |u| ≤ 80, and as at ±80 beyond; of NaN it is some number. Cheaper than `sigmoid16`.
CK_INLINE void inverse_sigmoid_in_place(v16 *value) {
  v16 x = -__builtin_elementwise_min(__builtin_elementwise_max(*value, splat16(-80.f)), splat16(80.f));
  CK_EXP_PARTS(x, shifted, p)
  *value = (v16)((i16)p + ((i16)shifted << 23)) + 1.f;
}

#define exp16(x)             \
  ({                         \
    v16 exp_value = (x);     \
    exp_in_place(&exp_value); \
    exp_value;               \
  })

/// σ(x) = 1 / (1 + e⁻ˣ).
#define sigmoid16(x) (1.f / (1.f + exp16(-(x))))

/// The first n < 16 floats at p, the rest `fill`.
CK_INLINE void load_part(v16 *v, const float *p, long n, float fill) {
  float lanes[16];
  for (long i = 0; i < 16; i++) lanes[i] = i < n ? p[i] : fill;
  *v = load16(lanes);
}

/// The first n < 16 lanes to p.
CK_INLINE void store_part(float *p, long n, const v16 *v) {
  float lanes[16];
  store16(lanes, *v);
  for (long i = 0; i < n; i++) p[i] = lanes[i];
}

/// The sum of the lanes, pairwise.
CK_INLINE float sum16(const v16 *v) {
  float s[16];
  store16(s, *v);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; i++) s[i] += s[i + width];
  return s[0];
}

/// Transposes 16 × 16 floats: out[j·out_row + i] = in[i·in_row + j], by exchanging ever larger blocks across the
/// diagonal.
CK_INLINE void transpose16(const float *in, long in_row, float *out, long out_row) {
  v16 rows[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i++) rows[i] = load16(in + i * in_row);
#define CK_EXCHANGE(distance, ...)                                                                       \
  _Pragma("clang loop unroll(full)") for (int i = 0; i < 16; i++)                                        \
    if ((i & distance) == 0) {                                                                           \
      v16 a = rows[i], b = rows[i + distance];                                                           \
      rows[i] = __builtin_shufflevector(a, b, __VA_ARGS__);                                              \
      rows[i + distance] = __builtin_shufflevector(a, b, CK_SHIFTED_##distance);                         \
    }
#define CK_SHIFTED_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define CK_SHIFTED_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define CK_SHIFTED_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define CK_SHIFTED_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
  CK_EXCHANGE(1, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
  CK_EXCHANGE(2, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
  CK_EXCHANGE(4, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
  CK_EXCHANGE(8, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#undef CK_EXCHANGE
#undef CK_SHIFTED_1
#undef CK_SHIFTED_2
#undef CK_SHIFTED_4
#undef CK_SHIFTED_8
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i++) store16(out + i * out_row, rows[i]);
}
