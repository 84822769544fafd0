/// Numbers of 16 bits: two bfloat16 make a word, the operand of `vdpbf16ps`, which multiplies both and adds both products to an FP32 sum.
#pragma once
#include "CKernels.h"
#include "ck_gemm.h"

/// Two bfloat16, the first in the low half.
typedef uint32_t ck_pair_word;

#if defined(__x86_64__)
#include <immintrin.h>

/// What is compiled for AVX512-BF16. Nothing of it may run where `ck_bf16_available()` is 0.
#define CK_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define CK_BF16_INLINE CK_BF16 static inline __attribute__((always_inline))

/// Sixteen floats at p, rounded to the nearest even.
CK_BF16_INLINE void store_rounded(void *p, const v16 *x) {
  _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)*x));
}

/// Sixteen words at p as floats: their low halves, and their high ones.
CK_BF16_INLINE void load_paired(const ck_pair_word *p, v16 *even, v16 *odd) {
  __m512i words = _mm512_loadu_si512(p);
  *even = (v16)_mm512_slli_epi32(words, 16);
  *odd = (v16)_mm512_and_si512(words, _mm512_set1_epi32(0xffff0000));
}

/// Sixteen words at p: lane i of `even` in the low half of word i, of `odd` in the high half.
CK_BF16_INLINE void store_paired(void *p, const v16 *even, const v16 *odd) {
  // In turn from the first sixteen and the last sixteen of 32.
  const __m512i in_turn = _mm512_or_si512(
    _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    _mm512_slli_epi32(_mm512_setr_epi32(16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31), 16));
  __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)*odd, (__m512)*even);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi16(in_turn, both));
}
#endif

/// As `ck_gemm`, with words in place of A's and B's floats: k counts words, of which each adds two products.
void ck_bf16_gemm(
  long m, long n, long k, const ck_pair_word *a, long a_row, long a_column, const ck_pair_word *b, float *c, long c_row,
  int accumulate);

/// As `ck_gemm_fetching`.
void ck_bf16_gemm_fetching(
  long m, long n, long k, const ck_pair_word *a, long a_row, long a_column, const ck_pair_word *b, float *c, long c_row,
  int accumulate, const float *next, long step);

/// As `ck_gemm_of_blocks`, of words; A is not in blocks, continues and accumulate are 0.
void ck_bf16_gemm_of_blocks(const ck_blocks_gemm *gemm);

/// Rounds B (k × n), packed for `ck_gemm`, to what `ck_bf16_rounded_gemm` reads, where it is: the words take its first half.
void ck_bf16_round_panels(long n, long k, float *b);

/// As `ck_gemm` on A, which it rounds to bfloat16, and B, which `ck_bf16_round_panels` has rounded; a_row or a_column is 1. `scratch` has
/// `rounded_words(m, k)`.
void ck_bf16_rounded_gemm(
  long m, long n, long k, const float *a, long a_row, long a_column, const ck_pair_word *b, float *c, long c_row,
  int accumulate, ck_pair_word *scratch);

CK_INLINE long rounded_words(long m, long k) { return ceil_div(k, 2) * m; }
