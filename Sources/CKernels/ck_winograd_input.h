/// The transform of the input, which the forward pass and the gradient of the weights share.
#pragma once
#include "ck_winograd_tiles.h"

#pragma clang fp contract(fast)

/// Blocks `those` of V[point][tile] of the tiles first..<last of x, tile first being row 0 of rows of `row` floats.
CK_CLONES static void transform_input(
  const float *x, const ck_winograd *conv, long channels, long first, long last, span those, float *v, long row, long stride) {
  long blocks = channels / 16;
  tile_grid grid = tiles_of(conv);
  for (long tile = first; tile < last; tile++) {
    tile_place at = place_of(grid, tile);
    const float *ahead = pixels_ahead(conv, x, channels, tile, 1);
    for (long block = those.first; block < those.last; block++) {
      fetch_ahead(conv, ahead, block);
      pixel_window w = window_at(INPUT_TILE, x, conv, blocks, block, at.image, at.top - 1, at.left - 1);
      float *out = v + (tile - first) * row + block * 16;
      if (w.whole)
        map_tile(INPUT_TILE, 1, &w, out, stride);
      else
        map_tile(INPUT_TILE, 0, &w, out, stride);
    }
  }
}
