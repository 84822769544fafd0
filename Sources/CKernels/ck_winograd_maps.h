/// The maps of F(4×4, 3×3), and the tiles they work on.
//
// Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for each 4×4 output tile, d its 6×6 input tile, g the 3×3 filter. Summed over input
// channels, each of the 36 points is a matrix product: M[point] (tiles × outputs) = V[point] (tiles × inputs) ·
// U[point] (inputs × outputs).
//
// With points 0, ±a, ±b, ∞ the three matrices follow from Lagrange interpolation; a = 5/8, b = 3/2 keep their entries
// near 1. What divides the rows of G stands where it costs nothing: at 0 in Bᵀ, and at ±a and ±b in Aᵀ, but for the weights' gradient, which
// has it in Gᵀ.
#pragma once
#include "CKernels.h"
#include "ck_gemm.h"

#pragma clang fp contract(fast)

enum { POINTS = 36 };

#define PA 0.625f
#define PB 1.5f
#define A2 (PA * PA)
#define B2 (PB * PB)
// One divided by the derivatives of the product of (x − point) at 0, ±a, ±b.
#define G0 (1.f / (A2 * B2))
#define GA (1.f / (2 * A2 * (A2 - B2)))
#define GB (1.f / (2 * B2 * (B2 - A2)))

// MARK: one-dimensional maps, on vectors of 16 channels

/// *out = row `i` of G g, undivided, i a constant where this is inlined. No sum has two products, of which a compiler might round either: a row has the
/// same bits wherever it is computed.
CK_INLINE void filter_row(const int i, const v16 g[3], v16 *out) {
  v16 even_a = g[0] + g[2] * A2, even_b = g[0] + g[2] * B2;
  if (i == 0) *out = g[0];
  if (i == 1) *out = even_a + g[1] * PA;
  if (i == 2) *out = even_a - g[1] * PA;
  if (i == 3) *out = even_b + g[1] * PB;
  if (i == 4) *out = even_b - g[1] * PB;
  if (i == 5) *out = g[2];
}

/// out = G g: 3 → 6.
CK_INLINE void filter_map(const v16 g[3], v16 out[6]) {
#pragma clang loop unroll(full)
  for (int i = 0; i < 6; i++) filter_row(i, g, &out[i]);
}

/// U at the six points of row `row`, a constant, of 16 outputs and one input.
CK_INLINE void transform_filter(const int row, const v16 taps[9], v16 u[6]) {
  v16 half[3];
#pragma clang loop unroll(full)
  for (int j = 0; j < 3; j++) {
    v16 g[3] = {taps[j], taps[3 + j], taps[6 + j]};
    filter_row(row, g, &half[j]);
  }
  filter_map(half, u);
}

/// The same of taps that are 256 floats apart.
CK_INLINE void transform_taps(const int row, const float *w, v16 u[6]) {
  v16 taps[9];
#pragma clang loop unroll(full)
  for (int tap = 0; tap < 9; tap++) taps[tap] = load16(w + tap * 256);
  transform_filter(row, taps, u);
}

/// 16 inputs × 16 outputs of w, 9 taps, for the gradient of the input: both exchanged, the filter turned by 180°.
CK_INLINE void turn_taps(const float *taps, float *turned) {
  for (int tap = 0; tap < 9; tap++) transpose16(taps + tap * 256, 16, turned + (8 - tap) * 256, 16);
}

/// out = Gᵀ m: 6 → 3.
CK_INLINE void filter_map_transposed(const v16 m[6], v16 out[3]) {
  v16 sum_a = (m[1] + m[2]) * GA, difference_a = (m[1] - m[2]) * (GA * PA);
  v16 sum_b = (m[3] + m[4]) * GB, difference_b = (m[3] - m[4]) * (GB * PB);
  out[0] = m[0] + sum_a + sum_b;
  out[1] = difference_a + difference_b;
  out[2] = sum_a * A2 + sum_b * B2 + m[5];
}

/// out = Bᵀ d: 6 → 6.
CK_INLINE void input_map(const v16 d[6], v16 out[6]) {
  v16 even_a = d[4] - d[2] * B2, odd_a = (d[3] - d[1] * B2) * PA;
  v16 even_b = d[4] - d[2] * A2, odd_b = (d[3] - d[1] * A2) * PB;
  out[0] = d[0] - d[2] * ((A2 + B2) * G0) + d[4] * G0;
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = d[1] * (A2 * B2) - d[3] * (A2 + B2) + d[5];
}

/// out = Aᵀ m: 6 → 4.
CK_INLINE void output_map(const v16 m[6], v16 out[4]) {
  v16 sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
  out[0] = m[0] + sum_a * GA + sum_b * GB;
  out[1] = difference_a * (PA * GA) + difference_b * (PB * GB);
  out[2] = sum_a * (A2 * GA) + sum_b * (B2 * GB);
  out[3] = difference_a * (PA * A2 * GA) + difference_b * (PB * B2 * GB) + m[5];
}

/// out = A y: 4 → 6.
CK_INLINE void output_map_transposed(const v16 y[4], v16 out[6]) {
  v16 even_a = y[0] + y[2] * A2, odd_a = (y[1] + y[3] * A2) * PA;
  v16 even_b = y[0] + y[2] * B2, odd_b = (y[1] + y[3] * B2) * PB;
  out[0] = y[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = y[3];
}

/// Where the taps of one input and of block `block` of outputs begin in dw, which has `inputs`.
CK_INLINE float *taps_at(float *dw, long inputs, long input, long block) {
  return dw + (block * (inputs / 16) + input / 16) * 9 * 256 + input % 16 * 16;
}

/// dw (3×3 taps, 256 floats apart) of one input and 16 outputs: Gᵀ dU G, dU the sum of `count` whose 36 points are `stride` floats apart and
/// which are `pitch` floats apart.
CK_INLINE void gradient_of_taps(const float *du, long stride, long count, long pitch, float *dw) {
  // Unrolled, for a loop would have what is half done in memory.
  v16 half[6][3];
#pragma clang loop unroll(full)
  for (int j = 0; j < 6; j++) {
    v16 column[6];
#pragma clang loop unroll(full)
    for (int i = 0; i < 6; i++) {
      column[i] = load16(du + (i * 6 + j) * stride);
      for (long other = 1; other < count; other++) column[i] += load16(du + (i * 6 + j) * stride + other * pitch);
    }
    filter_map_transposed(column, half[j]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 3; i++) {
    v16 row[6] = {half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i]}, out[3];
    filter_map_transposed(row, out);
#pragma clang loop unroll(full)
    for (int j = 0; j < 3; j++) store16(dw + (i * 3 + j) * 256, out[j]);
  }
}

// MARK: tiles

/// Floats from one point's matrix to the next: five cache lines more than its size, so that the 36 do not share cache
/// sets.
CK_INLINE long point_stride(long rows, long columns) { return rows * columns + 5 * 16; }

/// The 4×4 output tiles of a batch; the last row and column of tiles may be cut.
typedef struct {
  long across, per_image, all;
} tile_grid;

CK_INLINE tile_grid tiles_of(const ck_winograd *conv) {
  long across = (conv->width + 3) / 4, per_image = across * ((conv->height + 3) / 4);
  return (tile_grid){across, per_image, per_image * conv->samples};
}

// MARK: fetching ahead

/// How many tiles ahead pixels are fetched: their rows are far apart, so that no processor foresees them.
enum { TILES_AHEAD = 2 };

/// The 4×4 pixels in block 0 of x (N, channels, H, W) that no tile reads before the one that comes TILES_AHEAD after `tile`, where a tile
/// reads `border` pixels around its own; NULL after the last tile, and in smaller images.
CK_INLINE const float *pixels_ahead(const ck_winograd *conv, const float *x, long channels, long tile, long border) {
  tile_grid grid = tiles_of(conv);
  tile += TILES_AHEAD;
  if (tile >= grid.all || conv->height < 4 || conv->width < 4) return NULL;
  long top = min_long(tile % grid.per_image / grid.across * 4 + border, conv->height - 4);
  long left = min_long(tile % grid.across * 4 + border, conv->width - 4);
  return x + (tile / grid.per_image * channels * conv->height + top * 16) * conv->width + left * 16;
}

/// Fetches them in block `block`.
CK_INLINE void fetch_ahead(const ck_winograd *conv, const float *pixels, long block) {
  if (!pixels) return;
  pixels += block * conv->height * conv->width * 16;
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) __builtin_prefetch(pixels + (i * conv->width + j) * 16);
}
