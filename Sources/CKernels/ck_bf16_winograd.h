/// One tile through the maps of F(4×4, 3×3), on AVX-512, for products in bfloat16.
#pragma once
#include "ck_bf16_words.h"

#include "ck_winograd_maps.h"

#if defined(__x86_64__)
#pragma clang fp contract(fast)

/// Where a tile begins: its image, and its first row and column of the output.
typedef struct {
  long image, top, left;
} tile_place;

CK_INLINE tile_place place_of(tile_grid grid, long tile) {
  return (tile_place){tile / grid.per_image, tile % grid.per_image / grid.across * 4, tile % grid.across * 4};
}

/// points[i·6 + j] = (A d Aᵀ)_ij, A: rows → 6 by `map`, d the rows × rows pixels of a plane (height, width) from (top, left), zero outside.
#define CK_MAP_TILE(rows, map, plane, height, width, top, left, points)                         \
  do {                                                                                          \
    static const float zeros[16] = {0};                                                         \
    const float *line[rows];                                                                    \
    long step[rows];                                                                            \
    for (int i = 0; i < rows; i++) {                                                            \
      int known = (top) + i >= 0 && (top) + i < (height);                                       \
      line[i] = known ? (plane) + ((top) + i) * (width) * 16 : zeros, step[i] = known ? 16 : 0; \
    }                                                                                           \
    v16 columns[rows][6];                                                                       \
    for (int j = 0; j < rows; j++) {                                                            \
      long column = (left) + j;                                                                 \
      v16 d[rows];                                                                              \
      if (column < 0 || column >= (width)) {                                                    \
        for (int i = 0; i < 6; i++) columns[j][i] = (v16){0};                                   \
        continue;                                                                               \
      }                                                                                         \
      for (int i = 0; i < rows; i++) d[i] = load16(line[i] + column * step[i]);                 \
      map(d, columns[j]);                                                                       \
    }                                                                                           \
    for (int i = 0; i < 6; i++) {                                                               \
      v16 row[rows];                                                                            \
      for (int j = 0; j < rows; j++) row[j] = columns[j][i];                                    \
      map(row, (points) + i * 6);                                                               \
    }                                                                                           \
  } while (0)

/// Bᵀ d B of block `block` of x (N, channels, H, W), blocked.
CK_BF16_INLINE void map_input(const float *x, const ck_winograd *conv, long blocks, long block, tile_place at, v16 points[POINTS]) {
  const float *plane = x + (at.image * blocks + block) * conv->height * conv->width * 16;
  CK_MAP_TILE(6, input_map, plane, conv->height, conv->width, at.top - 1, at.left - 1, points);
}

/// A dY Aᵀ of block `block` of dy.
CK_BF16_INLINE void map_output_gradient(const float *dy, const ck_winograd *conv, long blocks, long block, tile_place at, v16 points[POINTS]) {
  const float *plane = dy + (at.image * blocks + block) * conv->height * conv->width * 16;
  CK_MAP_TILE(4, output_map_transposed, plane, conv->height, conv->width, at.top, at.left, points);
}
#endif
