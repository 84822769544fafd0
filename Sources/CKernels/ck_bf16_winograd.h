/// One tile through the maps of F(4×4, 3×3), on AVX-512, for products in bfloat16.
#pragma once
#include "ck_bf16_words.h"

#include "ck_winograd_tiles.h"

#if defined(__x86_64__)
#pragma clang fp contract(fast)

/// points[r·6 + j] = (Bᵀ d B)_ij for both rows i = point_rows[pair][r]. `whole` is a constant where this is inlined.
CK_BF16_INLINE void map_rows(const tile_side side, const int whole, const pixel_window *w, const int pair, v16 points[12]) {
  v16 rows[2][6];
#pragma clang loop unroll(full)
  for (int j = 0; j < side; j++) {
    v16 d[6];
#pragma clang loop unroll(full)
    for (int i = 0; i < side; i++)
      d[i] = whole ? load16(w->line[i] + w->at[j])
                   : (v16)_mm512_maskz_loadu_ps(
                       (__mmask16)(w->row_inside[i] & w->column_inside[j]), w->line[i] + w->at[j]);
    map_column(side, pair, j, d, rows);
  }
  map_row_pair(side, rows, points);
}

/// All points of one tile, rounded: half a row of words at out + point·stride.
CK_BF16_INLINE void map_tile_rounded(const tile_side side, const int whole, const pixel_window *w, ck_pair_word *out, long stride) {
#pragma clang loop unroll(full)
  for (int pair = 0; pair < 3; pair++) {
    v16 points[12];
    map_rows(side, whole, w, pair, points);
#pragma clang loop unroll(full)
    for (int k = 0; k < 12; k++) store_rounded(out + (point_rows[pair][k / 6] * 6 + k % 6) * stride, &points[k]);
  }
}

/// All points of two tiles, rounded and paired: 16 words at out + point·stride.
CK_BF16_INLINE void map_tile_pair(
  const tile_side side, const int whole, const pixel_window w[2], ck_pair_word *out, long stride) {
#pragma clang loop unroll(full)
  for (int pair = 0; pair < 3; pair++) {
    v16 even[12], odd[12];
    map_rows(side, whole, &w[0], pair, even);
    map_rows(side, whole, &w[1], pair, odd);
#pragma clang loop unroll(full)
    for (int k = 0; k < 12; k++) store_paired(out + (point_rows[pair][k / 6] * 6 + k % 6) * stride, &even[k], &odd[k]);
  }
}
#endif
