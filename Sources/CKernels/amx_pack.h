#pragma once
// Packing a matrix, 16 lines (rows of A, columns of B) × 32 k at a time, into split tiles.
#include "amx_tile.h"

/// A matrix seen as lines × k: element (line, k) is at p[line·line_stride + k·k_stride], one of the strides being 1.
struct ck_lines {
  const float *p;
  long line_stride, k_stride;
};

/// Splits `lines` × `ks` elements (at most 16 × 32, the rest are zero) into one tile each of hi and lo, or rounds them to hi where lo is null:
/// an A tile [16 lines][32 k], or a B tile [16 k pairs][16 lines][2].
CK_AMX_INLINE void ck_pack_tile(struct ck_lines from, long lines, long ks, int b_tile, char *hi, char *lo) {
  __m512i h[16], l[16];
  const int k_contiguous = from.k_stride == 1;
  if (k_contiguous) {
    const __mmask16 mask0 = (__mmask16)((1u << (ks < 16 ? ks : 16)) - 1);
    const __mmask16 mask1 = ks > 16 ? (__mmask16)((1u << (ks - 16)) - 1) : 0;
    for (long r = 0; r < 16; r++) {
      const float *p = from.p + r * from.line_stride;
      __m512 x0 = _mm512_maskz_loadu_ps(r < lines ? mask0 : 0, p);
      __m512 x1 = _mm512_maskz_loadu_ps(r < lines ? mask1 : 0, p + 16);
      ck_split32(x0, x1, &h[r], &l[r]);
    }
  } else {
    const __mmask16 mask = (__mmask16)((1u << lines) - 1);
    for (long r = 0; r < 16; r++) {
      const float *p = from.p + 2 * r * from.k_stride;
      __m512 even = _mm512_maskz_loadu_ps(2 * r < ks ? mask : 0, p);
      __m512 odd = _mm512_maskz_loadu_ps(2 * r + 1 < ks ? mask : 0, p + from.k_stride);
      ck_pair(ck_split16(even), ck_split16(odd), &h[r], &l[r]);
    }
  }
  // The first way has made [line][k pairs], the second [k pair][lines].
  if (k_contiguous == b_tile) ck_transpose16(h);
  for (int r = 0; r < 16; r++) _mm512_store_si512(hi + r * 64, h[r]);
  if (!lo) return;
  if (k_contiguous == b_tile) ck_transpose16(l);
  for (int r = 0; r < 16; r++) _mm512_store_si512(lo + r * 64, l[r]);
}
