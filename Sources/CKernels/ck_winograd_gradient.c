// The gradient of the weights runs the same maps transposed: dg = Gᵀ[Σ_tiles (Bᵀ d B) ⊙ (A dY Aᵀ)]G.
#include "ck_winograd_input.h"

#pragma clang fp contract(fast)

/// Whether the sums of all 36 points, dU, leave room in the second-level cache for tiles: then each thread takes tiles of its own, and the
/// threads' sums are added at the end. With more channels all threads transform a block of tiles together and then share out the points.
static int is_alone(const ck_winograd *conv) {
  long sums = POINTS * point_stride(conv->inputs, conv->outputs) * (long)sizeof(float);
  return sums <= 5L << 17 && tiles_of(conv).all >= 32 * ck_threads();
}

/// Tiles taken together, in parts of equal size: V and D of what a thread's sums leave of 7/8 MiB, or of about 8 MiB for all threads.
static long gradient_block(const ck_winograd *conv) {
  long tile = POINTS * (long)sizeof(float) * (conv->inputs + conv->outputs), tiles = max_long(1, tiles_of(conv).all);
  long room = 8L << 20, least = 48;
  if (is_alone(conv)) {
    room = (7L << 17) - POINTS * point_stride(conv->inputs, conv->outputs) * (long)sizeof(float);
    least = 24, tiles = ceil_div(tiles, ck_threads());
  }
  return ceil_div(tiles, ceil_div(tiles, max_long(least, room / tile)));
}

/// Floats of a row of V, which products read column by column: many rows are a line longer, so that a column's lines do not share cache sets.
CK_INLINE long v_row(const ck_winograd *conv) { return conv->inputs + (conv->inputs >= 128 ? 16 : 0); }

/// Strides from one point's matrix to the next.
typedef struct {
  long v, d, u;
} strides;

CK_INLINE strides strides_of(const ck_winograd *conv, long block) {
  return (strides){
    point_stride(block, v_row(conv)), point_stride(block, conv->outputs), point_stride(conv->inputs, conv->outputs)};
}

/// Floats of V, D and dU, of one thread where it is alone.
CK_INLINE long workspace_size(strides stride) { return POINTS * (stride.v + stride.d + stride.u); }

long ck_winograd_backward_weights_workspace(const ck_winograd *conv) {
  return workspace_size(strides_of(conv, gradient_block(conv))) * (is_alone(conv) ? ck_threads() : 1);
}

typedef struct {
  const ck_winograd *conv;
  const float *x, *dy;
  float *dw, *workspace;
  long block;  ///< tiles taken together
} gradient_job;

/// D[point] (tiles × outputs), packed for ck_gemm with `depth` rows, of the tiles first..<last of dy; tile `first` is
/// row `row`.
CK_CLONES static void transform_output_gradient(
  const gradient_job *job, long first, long last, float *d, long stride, long row, long depth) {
  long channels = job->conv->outputs, blocks = channels / 16;
  tile_grid grid = tiles_of(job->conv);
  for (long tile = first; tile < last; tile++) {
    tile_place at = place_of(grid, tile);
    const float *ahead = pixels_ahead(job->conv, job->dy, channels, tile, 0);
    for (long block = 0; block < blocks; block++) {
      fetch_ahead(job->conv, ahead, block);
      pixel_window w = window_at(OUTPUT_GRADIENT_TILE, job->dy, job->conv, blocks, block, at.image, at.top, at.left);
      long panel = block / 2, columns = panel_width(panel, channels);
      float *out = d + panel_offset(panel, depth) + (row + tile - first) * columns + block % 2 * 16;
      if (w.whole)
        map_tile(OUTPUT_GRADIENT_TILE, 1, &w, out, stride);
      else
        map_tile(OUTPUT_GRADIENT_TILE, 0, &w, out, stride);
    }
  }
}

/// Inputs by which dU is fetched ahead.
enum { INPUTS_AHEAD = 4 };

/// This thread's share of dw, from the sum of `count` dU[point] (inputs × outputs), `pitch` floats apart.
CK_CLONES static void gradient_of_share(
  const gradient_job *job, int thread, int threads, const float *du, long stride, long count, long pitch) {
  long inputs = job->conv->inputs, outputs = job->conv->outputs;
  span mine = share_of(inputs * (outputs / 16), thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long input = item % inputs, block = item / inputs;
    float *dw = job->dw + (block * (inputs / 16) + input / 16) * 9 * 256 + input % 16 * 16;
    const float *from = du + input * outputs + block * 16;
    // No processor foresees 36 streams.
    for (int point = 0; point < POINTS; point++) __builtin_prefetch(from + point * stride + INPUTS_AHEAD * outputs);
    gradient_of_taps(from, stride, count, pitch, dw);
  }
}

static void alone_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const ck_winograd *conv = job->conv;
  long inputs = conv->inputs, outputs = conv->outputs, block = job->block;
  strides stride = strides_of(conv, block);
  long pitch = workspace_size(stride);
  float *du = job->workspace + thread * pitch, *v = du + POINTS * stride.u, *d = v + POINTS * stride.v;
  span mine = share_of(tiles_of(conv).all, thread, threads);
  for (long begin = mine.first; begin < mine.last; begin += block) {
    long end = min_long(begin + block, mine.last), depth = end - begin;
    transform_input(job->x, conv, inputs, begin, end, (span){0, inputs / 16}, v, v_row(conv), stride.v);
    transform_output_gradient(job, begin, end, d, stride.d, 0, depth);
    for (int point = 0; point < POINTS; point++)
      ck_gemm(
        inputs, outputs, depth, v + point * stride.v, 1, v_row(conv), d + point * stride.d, du + point * stride.u, outputs,
        begin > mine.first);
  }
  ck_barrier();
  gradient_of_share(job, thread, threads, job->workspace, stride.u, threads, pitch);
}

static void together_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const ck_winograd *conv = job->conv;
  long inputs = conv->inputs, outputs = conv->outputs, block = job->block, tiles = tiles_of(conv).all;
  strides stride = strides_of(conv, block);
  float *du = job->workspace, *v = du + POINTS * stride.u, *d = v + POINTS * stride.v;
  // A thread's products: points × halves of the inputs, the halves only where 36 points do not divide evenly.
  long parts = POINTS % threads == 0 || inputs < 64 ? 1 : 2;
  span products = share_of(POINTS * parts, thread, threads);
  for (long begin = 0; begin < tiles; begin += block) {
    long depth = min_long(block, tiles - begin);
    span mine = share_of(depth, thread, threads);
    transform_input(
      job->x, conv, inputs, begin + mine.first, begin + mine.last, (span){0, inputs / 16}, v + mine.first * v_row(conv),
      v_row(conv), stride.v);
    transform_output_gradient(job, begin + mine.first, begin + mine.last, d, stride.d, mine.first, depth);
    ck_barrier();
    for (long item = products.first; item < products.last; item++) {
      long point = item / parts;
      span rows = share_of(inputs, item % parts, parts);
      ck_gemm(
        rows.last - rows.first, outputs, depth, v + point * stride.v + rows.first, 1, v_row(conv), d + point * stride.d,
        du + point * stride.u + rows.first * outputs, outputs, begin > 0);
    }
    ck_barrier();
  }
  gradient_of_share(job, thread, threads, du, stride.u, 1, 0);
}

void ck_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, float *workspace) {
  gradient_job job = {conv, x, dy, dw, workspace, gradient_block(conv)};
  ck_parallel(is_alone(conv) ? alone_body : together_body, &job);
}
