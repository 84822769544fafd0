/// The pixels that a tile of F(4×4, 3×3) reads, and their way through the maps, a pair of rows of points at a time.
#pragma once
#include "ck_winograd_maps.h"

#pragma clang fp contract(fast)

/// Where a tile begins: its image, and its first row and column of the output.
typedef struct {
  long image, top, left;
} tile_place;

CK_INLINE tile_place place_of(tile_grid grid, long tile) {
  return (tile_place){tile / grid.per_image, tile % grid.per_image / grid.across * 4, tile % grid.across * 4};
}

/// The side × side pixels of one block of channels that a tile reads: pixel (i, j) is at line[i] + at[j], zero where it lies outside.
typedef struct {
  const float *line[6];
  long at[6];
  int row_inside[6], column_inside[6];  ///< 0xffff or 0, a bit a channel
  int whole;                            ///< all of them lie inside
} pixel_window;

/// Those from (top, left) of block `block` of x (N, blocks·16, height, width).
CK_INLINE pixel_window window_at(
  const int side, const float *x, const ck_winograd *conv, long blocks, long block, long image, long top, long left) {
  long height = conv->height, width = conv->width;
  const float *plane = x + (image * blocks + block) * height * width * 16;
  pixel_window w = {.whole = top >= 0 && left >= 0 && top + side <= height && left + side <= width};
  for (int i = 0; i < side; i++) {
    long row = min_long(max_long(top + i, 0), height - 1), column = min_long(max_long(left + i, 0), width - 1);
    w.line[i] = plane + row * width * 16;
    w.at[i] = column * 16;
    w.row_inside[i] = row == top + i ? 0xffff : 0;
    w.column_inside[i] = column == left + i ? 0xffff : 0;
  }
  return w;
}

/// Bᵀ d B of the 6×6 pixels d that a tile of x reads, or A d Aᵀ of the 4×4 pixels d of a tile of dy.
typedef enum { INPUT_TILE = 6, OUTPUT_GRADIENT_TILE = 4 } tile_side;

/// The 36 points come as three pairs of rows i: what two rows need of Bᵀ d stays in registers, and reading d three times costs less than
/// keeping all of it. Rows 1 and 2, and 3 and 4, have their parts in common.
static const int point_rows[3][2] = {{1, 2}, {3, 4}, {0, 5}};

/// Column j, whose pixels are d, of both rows i = point_rows[pair][r] of Bᵀ d. All but d are constants where this is inlined.
CK_INLINE void map_column(const tile_side side, const int pair, const int j, const v16 d[6], v16 rows[2][6]) {
  v16 mapped[6];
  if (side == INPUT_TILE)
    input_map(d, mapped);
  else
    output_map_transposed(d, mapped);
  rows[0][j] = mapped[point_rows[pair][0]], rows[1][j] = mapped[point_rows[pair][1]];
}

/// points[r·6 + j] = (Bᵀ d B)_ij from those rows of Bᵀ d.
CK_INLINE void map_row_pair(const tile_side side, const v16 rows[2][6], v16 points[12]) {
#pragma clang loop unroll(full)
  for (int r = 0; r < 2; r++) {
    if (side == INPUT_TILE)
      input_map(rows[r], points + r * 6);
    else
      output_map_transposed(rows[r], points + r * 6);
  }
}

/// All points of one tile, at out + point·stride. `side` and `whole` are constants where this is inlined.
CK_INLINE void map_tile(const tile_side side, const int whole, const pixel_window *w, float *out, long stride) {
  static const float nothing[16];
#pragma clang loop unroll(full)
  for (int pair = 0; pair < 3; pair++) {
    v16 rows[2][6], points[12];
#pragma clang loop unroll(full)
    for (int j = 0; j < side; j++) {
      v16 d[6];
#pragma clang loop unroll(full)
      for (int i = 0; i < side; i++) {
        const float *pixel = w->line[i] + w->at[j];
        if (!whole) pixel = w->row_inside[i] & w->column_inside[j] ? pixel : nothing;
        d[i] = load16(pixel);
      }
      map_column(side, pair, j, d, rows);
    }
    map_row_pair(side, rows, points);
#pragma clang loop unroll(full)
    for (int k = 0; k < 12; k++) store16(out + (point_rows[pair][k / 6] * 6 + k % 6) * stride, points[k]);
  }
}
