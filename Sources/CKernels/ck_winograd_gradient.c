// The gradient of the weights runs the same maps transposed: dg = Gᵀ[Σ_tiles (Bᵀ d B) ⊙ (A dY Aᵀ)]G.
#include "ck_winograd_input.h"

#pragma clang fp contract(fast)

/// Tiles taken together by all threads in the gradient of the weights: about 8 MiB of V and D, in parts of equal size.
static long gradient_block(const ck_winograd *conv) {
  long fit = max_long(48, (8L << 20) / (POINTS * (long)sizeof(float) * (conv->inputs + conv->outputs)));
  long tiles = max_long(1, tiles_of(conv).all), parts = (tiles + fit - 1) / fit;
  return (tiles + parts - 1) / parts;
}

long ck_winograd_backward_weights_workspace(const ck_winograd *conv) {
  long block = gradient_block(conv);
  long tiles = point_stride(block, conv->inputs) + point_stride(block, conv->outputs);
  return POINTS * (tiles + point_stride(conv->inputs, conv->outputs));
}

typedef struct {
  const ck_winograd *conv;
  const float *x, *dy;
  float *dw, *workspace;
} gradient_job;

/// D[point] (tiles × outputs), packed for ck_gemm with `depth` rows, of the tiles first..<last of dy; tile `first` is
/// row `row`.
CK_CLONES static void transform_output_gradient(
  const gradient_job *job, long first, long last, float *d, long stride, long row, long depth) {
  long height = job->conv->height, width = job->conv->width, channels = job->conv->outputs, blocks = channels / 16;
  tile_grid grid = tiles_of(job->conv);
  for (long tile = first; tile < last; tile++) {
    long n = tile / grid.per_image, top = tile % grid.per_image / grid.across * 4, left = tile % grid.across * 4;
    int inside = top + 4 <= height && left + 4 <= width;
    for (long block = 0; block < blocks; block++) {
      const float *plane = job->dy + (n * blocks + block) * height * width * 16;
      v16 columns[4][6];
      for (int j = 0; j < 4; j++) {
        v16 y[4];
        for (int i = 0; i < 4; i++) {
          int known = inside || (top + i < height && left + j < width);
          y[i] = known ? load16(plane + ((top + i) * width + left + j) * 16) : (v16){0};
        }
        output_map_transposed(y, columns[j]);
      }
      long panel = block / 2, panel_columns = panel_width(panel, channels);
      float *out = d + panel_offset(panel, depth) + (row + tile - first) * panel_columns + block % 2 * 16;
      for (int i = 0; i < 6; i++) {
        v16 four[4] = {columns[0][i], columns[1][i], columns[2][i], columns[3][i]}, t[6];
        output_map_transposed(four, t);
        for (int j = 0; j < 6; j++) store16(out + (i * 6 + j) * stride, t[j]);
      }
    }
  }
}

/// dw of one 16 × 16 block of channels from dU[point] (inputs × outputs).
CK_CLONES static void gradient_of_weights(
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
      v16 row[6] = {half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i]}, out[3];
      filter_map_transposed(row, out);
      for (int j = 0; j < 3; j++) store16(dw + (i * 3 + j) * 256 + input * 16, out[j]);
    }
  }
}

static void gradient_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const ck_winograd *conv = job->conv;
  long inputs = conv->inputs, outputs = conv->outputs, block = gradient_block(conv), tiles = tiles_of(conv).all;
  long v_stride = point_stride(block, inputs), d_stride = point_stride(block, outputs);
  long u_stride = point_stride(inputs, outputs);
  float *v = job->workspace, *d = v + POINTS * v_stride, *du = d + POINTS * d_stride;
  // A thread's products: points × halves of the inputs, the halves only where 36 points do not divide evenly.
  long parts = POINTS % threads == 0 || inputs < 64 ? 1 : 2;
  span products = share_of(POINTS * parts, thread, threads);
  for (long begin = 0; begin < tiles; begin += block) {
    long depth = min_long(block, tiles - begin);
    span mine = share_of(depth, thread, threads);
    transform_input(job->x, conv, inputs, begin + mine.first, begin + mine.last, v + mine.first * inputs, v_stride);
    transform_output_gradient(job, begin + mine.first, begin + mine.last, d, d_stride, mine.first, depth);
    ck_barrier();
    for (long item = products.first; item < products.last; item++) {
      long point = item / parts;
      span rows = share_of(inputs, item % parts, parts);
      ck_gemm(
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

void ck_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, float *workspace) {
  gradient_job job = {conv, x, dy, dw, workspace};
  ck_parallel(gradient_body, &job);
}
