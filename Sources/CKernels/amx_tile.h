#pragma once
// The instructions every AMX kernel is made of: splitting FP32 vectors, laying them out as tiles, multiplying tiles.
//
// A tile is 16 rows of 64 bytes, always stored contiguously (1 KB) or with equidistant rows.
//   A tile: 16 rows m,        each of 32 bf16 k.
//   B tile: 16 rows (k, k+1), each of 16 columns n of the pair.
//   C tile: 16 rows m,        each of 16 FP32 n.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define CK_AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define CK_AMX_INLINE CK_AMX static inline __attribute__((always_inline))

enum { CK_TILE = 1024 };

/// Configures eight full tiles on this thread. Pair with _tile_release().
CK_AMX_INLINE void ck_tiles_begin(void) {
  struct {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } configuration __attribute__((aligned(64)));
  memset(&configuration, 0, sizeof configuration);
  configuration.palette = 1;
  for (int i = 0; i < 8; i++) configuration.row_bytes[i] = 64, configuration.rows[i] = 16;
  _tile_loadconfig(&configuration);
}

/// x - bf16(x), or 0 where that is not finite.
CK_AMX_INLINE __m512 ck_remainder(__m512 x, __m256i hi) {
  __m512 wide = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(hi), 16));
  __m512 difference = _mm512_sub_ps(x, wide);
  enum { nan_or_infinity = 0x01 | 0x80 | 0x08 | 0x10 };
  __mmask16 bad = _mm512_fpclass_ps_mask(difference, nan_or_infinity);
  return _mm512_mask_mov_ps(difference, bad, _mm512_setzero_ps());
}

/// 32 floats, x0 then x1, as 32 hi and 32 lo.
CK_AMX_INLINE void ck_split32(__m512 x0, __m512 x1, __m512i *hi, __m512i *lo) {
  *hi = (__m512i)_mm512_cvtne2ps_pbh(x1, x0);
  __m512 lo0 = ck_remainder(x0, _mm512_castsi512_si256(*hi));
  __m512 lo1 = ck_remainder(x1, _mm512_extracti64x4_epi64(*hi, 1));
  *lo = (__m512i)_mm512_cvtne2ps_pbh(lo1, lo0);
}

/// 16 floats as four lanes of (4 hi, 4 lo): what ck_pair() interleaves.
CK_AMX_INLINE __m512i ck_split16(__m512 x) {
  __m256i hi = (__m256i)_mm512_cvtneps_pbh(x);
  __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(ck_remainder(x, hi), x);
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), halves);
}

/// Row of a B tile from two consecutive k, each ck_split16(): columns n of (k, k+1).
CK_AMX_INLINE void ck_pair(__m512i even, __m512i odd, __m512i *hi, __m512i *lo) {
  *hi = _mm512_unpacklo_epi16(even, odd);
  *lo = _mm512_unpackhi_epi16(even, odd);
}

/// Transposes 16×16 32-bit elements.
CK_AMX_INLINE void ck_transpose16(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

/// Where the tiles of a sum over `steps` blocks of 32 k lie: A at a[i] + a_step[s], B at b[j] + b_step[s], in bytes,
/// and the lo part of each a fixed distance beyond its hi part.
struct ck_product {
  const char *a[2], *b[2];
  const int32_t *a_step, *b_step;
  long a_lo, b_lo;
  long a_pitch;  // bytes between the rows of an A tile
  long steps;
  int rounds;    // hi alone: then lo is not read
};

/// c[i][j] (+)= Σ_s A_i,s · B_j,s for 2×2 C tiles, c: [2][2][16][16].
///
/// Four accumulators hide the latency of a tile product; operands are ordered so that each is loaded once.
CK_AMX_INLINE void ck_multiply_2x2(const struct ck_product *p, int accumulate, float *c) {
  if (accumulate) {
    _tile_loadd(0, c, 64), _tile_loadd(1, c + 256, 64), _tile_loadd(2, c + 512, 64), _tile_loadd(3, c + 768, 64);
  } else {
    _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
  }
  const long a_pitch = p->a_pitch;
  for (long s = 0; s < p->steps; s++) {
    const char *a0 = p->a[0] + p->a_step[s], *a1 = p->a[1] + p->a_step[s];
    const char *b0 = p->b[0] + p->b_step[s], *b1 = p->b[1] + p->b_step[s];
    // lo_a · hi_b
    _tile_loadd(4, b0, 64);
    _tile_loadd(6, a0 + p->a_lo, a_pitch);
    _tile_dpbf16ps(0, 6, 4);
    _tile_loadd(5, b1, 64);
    _tile_dpbf16ps(1, 6, 5);
    _tile_loadd(7, a1 + p->a_lo, a_pitch);
    _tile_dpbf16ps(2, 7, 4);
    _tile_dpbf16ps(3, 7, 5);
    // hi_a · hi_b
    _tile_loadd(6, a0, a_pitch);
    _tile_dpbf16ps(0, 6, 4);
    _tile_dpbf16ps(1, 6, 5);
    _tile_loadd(7, a1, a_pitch);
    _tile_dpbf16ps(2, 7, 4);
    _tile_dpbf16ps(3, 7, 5);
    // hi_a · lo_b
    _tile_loadd(4, b0 + p->b_lo, 64);
    _tile_dpbf16ps(0, 6, 4);
    _tile_loadd(5, b1 + p->b_lo, 64);
    _tile_dpbf16ps(1, 6, 5);
    _tile_dpbf16ps(2, 7, 4);
    _tile_dpbf16ps(3, 7, 5);
  }
  _tile_stored(0, c, 64), _tile_stored(1, c + 256, 64), _tile_stored(2, c + 512, 64), _tile_stored(3, c + 768, 64);
}

/// As ck_multiply_2x2() for c[0][0] and c[1][0] only. The cross terms have accumulators of their own.
CK_AMX_INLINE void ck_multiply_2x1(const struct ck_product *p, int accumulate, float *c) {
  if (accumulate) {
    _tile_loadd(0, c, 64), _tile_loadd(1, c + 512, 64);
  } else {
    _tile_zero(0), _tile_zero(1);
  }
  _tile_zero(2), _tile_zero(3);
  for (long s = 0; s < p->steps; s++) {
    const char *a0 = p->a[0] + p->a_step[s], *a1 = p->a[1] + p->a_step[s], *b0 = p->b[0] + p->b_step[s];
    _tile_loadd(4, b0, 64);
    _tile_loadd(6, a0, p->a_pitch);
    _tile_dpbf16ps(0, 6, 4);
    _tile_loadd(7, a1, p->a_pitch);
    _tile_dpbf16ps(1, 7, 4);
    _tile_loadd(5, b0 + p->b_lo, 64);
    _tile_dpbf16ps(2, 6, 5);
    _tile_dpbf16ps(3, 7, 5);
    _tile_loadd(6, a0 + p->a_lo, p->a_pitch);
    _tile_dpbf16ps(2, 6, 4);
    _tile_loadd(7, a1 + p->a_lo, p->a_pitch);
    _tile_dpbf16ps(3, 7, 4);
  }
  float cross[512] __attribute__((aligned(64)));
  _tile_stored(0, c, 64), _tile_stored(1, c + 512, 64), _tile_stored(2, cross, 64), _tile_stored(3, cross + 256, 64);
  for (int i = 0; i < 256; i += 16) {
    _mm512_store_ps(c + i, _mm512_add_ps(_mm512_load_ps(c + i), _mm512_load_ps(cross + i)));
    _mm512_store_ps(c + 512 + i, _mm512_add_ps(_mm512_load_ps(c + 512 + i), _mm512_load_ps(cross + 256 + i)));
  }
}

/// As ck_multiply_2x2() for c[0][0] and c[0][1] only.
CK_AMX_INLINE void ck_multiply_1x2(const struct ck_product *p, int accumulate, float *c) {
  if (accumulate) {
    _tile_loadd(0, c, 64), _tile_loadd(1, c + 256, 64);
  } else {
    _tile_zero(0), _tile_zero(1);
  }
  _tile_zero(2), _tile_zero(3);
  for (long s = 0; s < p->steps; s++) {
    const char *a0 = p->a[0] + p->a_step[s], *b0 = p->b[0] + p->b_step[s], *b1 = p->b[1] + p->b_step[s];
    _tile_loadd(4, a0, p->a_pitch);
    _tile_loadd(6, b0, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b1, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a0 + p->a_lo, p->a_pitch);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    _tile_loadd(6, b0 + p->b_lo, 64);
    _tile_dpbf16ps(2, 4, 6);
    _tile_loadd(7, b1 + p->b_lo, 64);
    _tile_dpbf16ps(3, 4, 7);
  }
  float cross[512] __attribute__((aligned(64)));
  _tile_stored(0, c, 64), _tile_stored(1, c + 256, 64), _tile_stored(2, cross, 64), _tile_stored(3, cross + 256, 64);
  for (int i = 0; i < 512; i += 16)
    _mm512_store_ps(c + i, _mm512_add_ps(_mm512_load_ps(c + i), _mm512_load_ps(cross + i)));
}

/// c[i][j] (+)= Σ_s hi(A_i,s) · hi(B_j,s) for `rows` × `columns` C tiles, constants where this is inlined.
CK_AMX_INLINE void ck_multiply_rounded(const struct ck_product *p, const int rows, const int columns, int accumulate,
                                       float *c) {
  if (accumulate) {
    _tile_loadd(0, c, 64);
    if (columns > 1) _tile_loadd(1, c + 256, 64);
    if (rows > 1) _tile_loadd(2, c + 512, 64);
    if (rows > 1 && columns > 1) _tile_loadd(3, c + 768, 64);
  } else {
    _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
  }
  for (long s = 0; s < p->steps; s++) {
    _tile_loadd(4, p->b[0] + p->b_step[s], 64);
    _tile_loadd(6, p->a[0] + p->a_step[s], p->a_pitch);
    _tile_dpbf16ps(0, 6, 4);
    if (columns > 1) {
      _tile_loadd(5, p->b[1] + p->b_step[s], 64);
      _tile_dpbf16ps(1, 6, 5);
    }
    if (rows > 1) {
      _tile_loadd(7, p->a[1] + p->a_step[s], p->a_pitch);
      _tile_dpbf16ps(2, 7, 4);
      if (columns > 1) _tile_dpbf16ps(3, 7, 5);
    }
  }
  _tile_stored(0, c, 64);
  if (columns > 1) _tile_stored(1, c + 256, 64);
  if (rows > 1) _tile_stored(2, c + 512, 64);
  if (rows > 1 && columns > 1) _tile_stored(3, c + 768, 64);
}

/// The tiles of c: [2][2][16][16] that `rows` × `columns` (1 or 2 each) need.
CK_AMX_INLINE void ck_multiply(struct ck_product *p, int rows, int columns, int accumulate, float *c) {
  if (p->rounds) {
    if (rows == 2 && columns == 2) return ck_multiply_rounded(p, 2, 2, accumulate, c);
    if (rows == 2) return ck_multiply_rounded(p, 2, 1, accumulate, c);
    if (columns == 2) return ck_multiply_rounded(p, 1, 2, accumulate, c);
    return ck_multiply_rounded(p, 1, 1, accumulate, c);
  }
  if (rows == 2 && columns == 2) {
    ck_multiply_2x2(p, accumulate, c);
  } else if (rows == 2) {
    ck_multiply_2x1(p, accumulate, c);
  } else {
    if (columns == 1) p->b[1] = p->b[0];
    ck_multiply_1x2(p, accumulate, c);
  }
}
