/// The transform of the input, which the forward pass and the gradient of the weights share.
#pragma once
#include "ck_winograd_maps.h"

#pragma clang fp contract(fast)

/// Blocks `those` of V[point][tile][inputs] of the tiles first..<last of x, tile first being row 0.
CK_CLONES static void transform_input(
  const float *x, const ck_winograd *conv, long channels, long first, long last, span those, float *v, long stride) {
  long height = conv->height, width = conv->width, blocks = channels / 16;
  tile_grid grid = tiles_of(conv);
  for (long tile = first; tile < last; tile++) {
    long n = tile / grid.per_image, top = tile % grid.per_image / grid.across * 4 - 1;
    long left = tile % grid.across * 4 - 1;
    int inside = top >= 0 && left >= 0 && top + 6 <= height && left + 6 <= width;
    const float *ahead = pixels_ahead(conv, x, channels, tile, 1);
    for (long block = those.first; block < those.last; block++) {
      fetch_ahead(conv, ahead, block);
      const float *plane = x + (n * blocks + block) * height * width * 16;
      v16 columns[6][6];
      for (int j = 0; j < 6; j++) {
        v16 d[6];
        if (inside) {
          for (int i = 0; i < 6; i++) d[i] = load16(plane + ((top + i) * width + left + j) * 16);
        } else {
          for (int i = 0; i < 6; i++) {
            long row = top + i, column = left + j;
            int known = row >= 0 && row < height && column >= 0 && column < width;
            d[i] = known ? load16(plane + (row * width + column) * 16) : (v16){0};
          }
        }
        input_map(d, columns[j]);
      }
      float *out = v + (tile - first) * channels + block * 16;
      for (int i = 0; i < 6; i++) {
        v16 row[6] = {columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]}, t[6];
        input_map(row, t);
        for (int j = 0; j < 6; j++) store16(out + (i * 6 + j) * stride, t[j]);
      }
    }
  }
}
