/// What the forward pass and the gradient of the input have in common, however their weights are transformed.
#pragma once
#include "ck_winograd_maps.h"

#pragma clang fp contract(fast)

typedef struct {
  const ck_winograd *conv;
  long inputs, outputs;  ///< of this direction
  int backward;          ///< the weights are of the forward convolution: swap inputs and outputs, turn the filter by 180°
  const float *x;
  const void *weights;  ///< transformed, or as they are where they are transformed in panels
  const float *bias, *residual;
  float *y, *workspace;
  int streams;  ///< whether y is written past the caches
} winograd_job;

/// Blocks `those` of y of the tiles first..<last from M[point][tile] of those blocks.
CK_CLONES static void transform_output(
  const winograd_job *job, long first, long last, span those, const float *m, long stride) {
  long height = job->conv->height, width = job->conv->width, blocks = job->outputs / 16;
  long row_size = (those.last - those.first) * 16;
  tile_grid grid = tiles_of(job->conv);
  for (long tile = first; tile < last; tile++) {
    long n = tile / grid.per_image, top = tile % grid.per_image / grid.across * 4, left = tile % grid.across * 4;
    long rows = min_long(4, height - top), columns = min_long(4, width - left);
    for (long block = those.first; block < those.last; block++) {
      const float *in = m + (tile - first) * row_size + (block - those.first) * 16;
      // Unrolled, for a loop would have what is half done in memory.
      v16 half[6][4];
#pragma clang loop unroll(full)
      for (int j = 0; j < 6; j++) {
        v16 column[6];
#pragma clang loop unroll(full)
        for (int i = 0; i < 6; i++) column[i] = load16(in + (i * 6 + j) * stride);
        output_map(column, half[j]);
      }
      v16 bias = job->bias ? load16(job->bias + block * 16) : (v16){0};
      long corner = (((n * blocks + block) * height + top) * width + left) * 16;
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; i++) {
        v16 row[6] = {half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i]}, out[4];
        output_map(row, out);
        if (i >= rows) break;
        float *y = job->y + corner + i * width * 16;
        const float *residual = job->residual ? job->residual + corner + i * width * 16 : NULL;
#pragma clang loop unroll(full)
        for (int j = 0; j < 4; j++) {
          if (j >= columns) break;
          v16 value = out[j] + bias;
          if (residual) value += load16(residual + j * 16);
          put(y + j * 16, &value, job->streams);
        }
      }
    }
  }
}
