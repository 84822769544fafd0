// As ck_winograd_gradient.c, with products in bfloat16: dg = Gᵀ[Σ_tiles (Bᵀ d B) ⊙ (A dY Aᵀ)]G. A word holds a pair of tiles.
#include "ck_bf16_winograd.h"

#pragma clang fp contract(fast)

/// Pairs of tiles.
static long pairs_of(const ck_winograd *conv) { return ceil_div(tiles_of(conv).all, 2); }

/// Pairs taken together by all threads: about 8 MiB of V and D, in parts of equal size.
static long gradient_block(const ck_winograd *conv) {
  long fit = max_long(48, (8L << 20) / (POINTS * (long)sizeof(ck_pair_word) * (conv->inputs + conv->outputs)));
  long pairs = max_long(1, pairs_of(conv));
  return ceil_div(pairs, ceil_div(pairs, fit));
}

size_t ck_bf16_winograd_backward_weights_workspace(const ck_winograd *conv) {
  long block = gradient_block(conv);
  long pairs = point_stride(block, conv->inputs) + point_stride(block, conv->outputs);
  return (size_t)(POINTS * (pairs + point_stride(conv->inputs, conv->outputs))) * sizeof(float);
}

#if defined(__x86_64__)

typedef struct {
  const ck_winograd *conv;
  const float *x, *dy;
  float *dw, *workspace;
} gradient_job;

/// Both tiles of pair `pair` of a tensor, `border` pixels of it outside the tile on each side; a tile that does not exist reads zeros.
CK_BF16_INLINE void transform_pair(
  const tile_side side, const long border, const ck_winograd *conv, const float *x, long blocks, long block, long pair,
  ck_pair_word *out, long stride) {
  tile_grid grid = tiles_of(conv);
  pixel_window w[2];
  for (int odd = 0; odd < 2; odd++) {
    tile_place at = place_of(grid, min_long(pair * 2 + odd, grid.all - 1));
    w[odd] = window_at(side, x, conv, blocks, block, at.image, at.top - border, at.left - border);
    if (pair * 2 + odd < grid.all) continue;
    memset(w[odd].row_inside, 0, sizeof w[odd].row_inside);
    w[odd].whole = 0;
  }
  if (w[0].whole && w[1].whole)
    map_tile_pair(side, 1, w, out, stride);
  else
    map_tile_pair(side, 0, w, out, stride);
}

/// V[point][pair][inputs] of the pairs of tiles first..<last of x; pair `first` is row 0.
CK_BF16 static void transform_input(const gradient_job *job, long first, long last, ck_pair_word *v, long stride) {
  long channels = job->conv->inputs, blocks = channels / 16;
  for (long pair = first; pair < last; pair++)
    for (long block = 0; block < blocks; block++)
      transform_pair(
        INPUT_TILE, 1, job->conv, job->x, blocks, block, pair, v + (pair - first) * channels + block * 16, stride);
}

/// D[point] (pairs × outputs), packed for ck_bf16_gemm with `depth` rows, of the pairs first..<last of dy; pair `first` is row `row`.
CK_BF16 static void transform_output_gradient(
  const gradient_job *job, long first, long last, ck_pair_word *d, long stride, long row, long depth) {
  long channels = job->conv->outputs, blocks = channels / 16;
  for (long pair = first; pair < last; pair++)
    for (long block = 0; block < blocks; block++) {
      long panel = block / 2, columns = panel_width(panel, channels);
      ck_pair_word *out = d + panel_offset(panel, depth) + (row + pair - first) * columns + block % 2 * 16;
      transform_pair(OUTPUT_GRADIENT_TILE, 0, job->conv, job->dy, blocks, block, pair, out, stride);
    }
}

/// dw of one 16 × 16 block of channels from dU[point] (inputs × outputs).
CK_BF16 static void gradient_of_weights(
  const gradient_job *job, long input_block, long output_block, const float *du, long stride) {
  long inputs = job->conv->inputs, outputs = job->conv->outputs;
  float *dw = job->dw + (output_block * (inputs / 16) + input_block) * 9 * 256;
  for (int input = 0; input < 16; input++) {
    const float *in = du + (input_block * 16 + input) * outputs + output_block * 16;
    v16 half[6][3];
    for (int j = 0; j < 6; j++) {
      v16 column[6];
      for (int i = 0; i < 6; i++) column[i] = load16(in + (i * 6 + j) * stride);
      filter_map_transposed(column, half[j]);
    }
    for (int i = 0; i < 3; i++) {
      v16 row[6], out[3];
      for (int j = 0; j < 6; j++) row[j] = half[j][i];
      filter_map_transposed(row, out);
      for (int j = 0; j < 3; j++) store16(dw + (i * 3 + j) * 256 + input * 16, out[j]);
    }
  }
}

static void gradient_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const ck_winograd *conv = job->conv;
  long inputs = conv->inputs, outputs = conv->outputs, block = gradient_block(conv), pairs = pairs_of(conv);
  long v_stride = point_stride(block, inputs), d_stride = point_stride(block, outputs);
  long u_stride = point_stride(inputs, outputs);
  float *du = job->workspace;
  ck_pair_word *v = (ck_pair_word *)(du + POINTS * u_stride), *d = v + POINTS * v_stride;
  // A thread's products: points × halves of the inputs, the halves only where 36 points do not divide evenly.
  long parts = POINTS % threads == 0 || inputs < 64 ? 1 : 2;
  span products = share_of(POINTS * parts, thread, threads);
  for (long begin = 0; begin < pairs; begin += block) {
    long depth = min_long(block, pairs - begin);
    span mine = share_of(depth, thread, threads);
    transform_input(job, begin + mine.first, begin + mine.last, v + mine.first * inputs, v_stride);
    transform_output_gradient(job, begin + mine.first, begin + mine.last, d, d_stride, mine.first, depth);
    ck_barrier();
    for (long item = products.first; item < products.last; item++) {
      long point = item / parts;
      span rows = share_of(inputs, item % parts, parts);
      ck_bf16_gemm(
        rows.last - rows.first, outputs, depth, v + point * v_stride + rows.first, 1, inputs, d + point * d_stride,
        du + point * u_stride + rows.first * outputs, outputs, begin > 0);
    }
    ck_barrier();
  }
  long input_blocks = inputs / 16;
  span mine = share_of(input_blocks * (outputs / 16), thread, threads);
  for (long item = mine.first; item < mine.last; item++)
    gradient_of_weights(job, item % input_blocks, item / input_blocks, du, u_stride);
}

void ck_bf16_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, void *workspace) {
  gradient_job job = {conv, x, dy, dw, workspace};
  ck_parallel(gradient_body, &job);
}
#else
void ck_bf16_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, void *workspace) {}
#endif
