// The gradient of the weights runs the same maps transposed: dg = Gᵀ[Σ_tiles (Bᵀ d B) ⊙ (A dY Aᵀ)]G.
#include "ck_winograd_input.h"

#pragma clang fp contract(fast)

// Its work is laid out in one of three ways. Few channels: each thread takes tiles of its own, and the threads' sums dU are added at the end.
// Few tiles: all threads transform all of them, and then share out parts of dU, whose 36 points stay in the second-level cache. Else all
// transform a block of tiles together and then share out the points, whose sums are read and written anew with each block.

/// A part of dU.
enum { PART_INPUTS = 64, PART_OUTPUTS = CK_PANEL };

/// Tiles up to which a part is made at once: its V and D are hardly more than the second-level cache holds.
enum { FEW_TILES = 128 };

/// Bytes of the sums of all 36 points, dU.
CK_INLINE long sum_bytes(const ck_winograd *conv) {
  return POINTS * point_stride(conv->inputs, conv->outputs) * (long)sizeof(float);
}

/// Whether those sums leave room for tiles in the second-level cache.
static int is_alone(const ck_winograd *conv) {
  return sum_bytes(conv) <= 5L << 17 && tiles_of(conv).all >= 32 * ck_threads();
}

CK_INLINE long output_parts_of(const ck_winograd *conv) { return ceil_div(conv->outputs, PART_OUTPUTS); }
CK_INLINE long parts_of(const ck_winograd *conv) {
  return ceil_div(conv->inputs, PART_INPUTS) * output_parts_of(conv);
}

/// Whether tiles are so few, and parts enough for all threads.
static int is_in_parts(const ck_winograd *conv) {
  return !is_alone(conv) && tiles_of(conv).all <= FEW_TILES && parts_of(conv) >= ck_threads();
}

/// Tiles taken together, in blocks of equal size: V and D of what a thread's sums leave of 7/8 MiB, or, for all threads, of three times the
/// sums, from 4 to 16 MiB.
static long gradient_block(const ck_winograd *conv) {
  long tile = POINTS * (long)sizeof(float) * (conv->inputs + conv->outputs), tiles = max_long(1, tiles_of(conv).all);
  if (is_in_parts(conv)) return tiles;
  long sums = sum_bytes(conv), room = min_long(max_long(3 * sums, 4L << 20), 16L << 20), least = 48;
  if (is_alone(conv)) {
    room = (7L << 17) - sums;
    least = 24, tiles = ceil_div(tiles, ck_threads());
  }
  return ceil_div(tiles, ceil_div(tiles, max_long(least, room / tile)));
}

/// Floats of a row of V, which products read column by column: many rows are a line longer, so that a column's lines do not share cache sets.
CK_INLINE long v_row(const ck_winograd *conv) { return conv->inputs + (conv->inputs >= 128 ? 16 : 0); }

/// Strides from one point's matrix to the next; dU's is that of a part where the work is in parts. Found before threads begin, which are
/// counted for it.
typedef struct {
  long v, d, u;
} strides;

CK_INLINE strides strides_of(const ck_winograd *conv, long block) {
  return (strides){
    point_stride(block, v_row(conv)), point_stride(block, conv->outputs),
    is_in_parts(conv) ? point_stride(PART_INPUTS, PART_OUTPUTS) : point_stride(conv->inputs, conv->outputs)};
}

/// Floats of V and D, and of dU.
CK_INLINE long operands_size(strides stride) { return POINTS * (stride.v + stride.d); }
CK_INLINE long sums_size(strides stride) { return POINTS * stride.u; }

long ck_winograd_backward_weights_workspace(const ck_winograd *conv) {
  strides stride = strides_of(conv, gradient_block(conv));
  long operands = operands_size(stride), sums = sums_size(stride);
  if (is_alone(conv)) return ck_threads() * (operands + sums);
  return operands + (is_in_parts(conv) ? ck_threads() : 1) * sums;
}

typedef struct {
  const ck_winograd *conv;
  const float *x, *dy;
  float *dw, *workspace;
  long block;  ///< tiles taken together
  strides stride;
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
    const float *from = du + input * outputs + block * 16;
    // No processor foresees 36 streams.
    for (int point = 0; point < POINTS; point++) __builtin_prefetch(from + point * stride + INPUTS_AHEAD * outputs);
    gradient_of_taps(from, stride, count, pitch, taps_at(job->dw, inputs, input, block));
  }
}

/// dw of some inputs and one panel of outputs from dU[point] of just these.
CK_CLONES static void gradient_of_part(const gradient_job *job, span inputs, long panel, const float *du, long stride) {
  long width = panel_width(panel, job->conv->outputs);
  for (long half = 0; half < width; half += 16)
    for (long input = inputs.first; input < inputs.last; input++)
      gradient_of_taps(
        du + (input - inputs.first) * width + half, stride, 1, 0,
        taps_at(job->dw, job->conv->inputs, input, panel * 2 + half / 16));
}

static void alone_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const ck_winograd *conv = job->conv;
  long inputs = conv->inputs, outputs = conv->outputs, block = job->block;
  strides stride = job->stride;
  long pitch = operands_size(stride) + sums_size(stride);
  float *du = job->workspace + thread * pitch, *v = du + sums_size(stride), *d = v + POINTS * stride.v;
  span mine = share_of(tiles_of(conv).all, thread, threads);
  for (long begin = mine.first; begin < mine.last; begin += block) {
    long end = min_long(begin + block, mine.last), depth = end - begin;
    transform_input(job->x, conv, inputs, begin, end, (span){0, inputs / 16}, v, v_row(conv), stride.v);
    transform_output_gradient(job, begin, end, d, stride.d, 0, depth);
    for (int point = 0; point < POINTS; point++)
      ck_gemm(
        inputs, outputs, depth, v + point * stride.v, 1, v_row(conv), d + point * stride.d, du + point * stride.u,
        outputs, begin > mine.first);
  }
  ck_barrier();
  gradient_of_share(job, thread, threads, job->workspace, stride.u, threads, pitch);
}

/// This thread's share of V and D of the tiles begin..<begin + depth, for all threads.
static void transform_share(
  const gradient_job *job, int thread, int threads, long begin, long depth, float *v, float *d) {
  const ck_winograd *conv = job->conv;
  strides stride = job->stride;
  long inputs = conv->inputs, row = v_row(conv);
  span mine = share_of(depth, thread, threads);
  long first = begin + mine.first, last = begin + mine.last;
  transform_input(job->x, conv, inputs, first, last, (span){0, inputs / 16}, v + mine.first * row, row, stride.v);
  transform_output_gradient(job, first, last, d, stride.d, mine.first, depth);
  ck_barrier();
}

static void parts_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const ck_winograd *conv = job->conv;
  long inputs = conv->inputs, outputs = conv->outputs, tiles = job->block, panels = output_parts_of(conv);
  strides stride = job->stride;
  float *v = job->workspace, *d = v + POINTS * stride.v, *du = d + POINTS * stride.d + thread * sums_size(stride);
  transform_share(job, thread, threads, 0, tiles, v, d);
  // All panels of outputs for the same inputs, whose V is the larger.
  span mine = share_of(parts_of(conv), thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long first = item / panels * PART_INPUTS, panel = item % panels;
    span those = {first, min_long(first + PART_INPUTS, inputs)};
    for (int point = 0; point < POINTS; point++)
      ck_gemm_far(
        those.last - first, panel_width(panel, outputs), tiles, v + point * stride.v + first, 1, v_row(conv),
        d + point * stride.d + panel_offset(panel, tiles), du + point * stride.u, panel_width(panel, outputs), 0);
    gradient_of_part(job, those, panel, du, stride.u);
  }
}

static void together_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const ck_winograd *conv = job->conv;
  long inputs = conv->inputs, outputs = conv->outputs, block = job->block, tiles = tiles_of(conv).all;
  strides stride = job->stride;
  float *du = job->workspace, *v = du + sums_size(stride), *d = v + POINTS * stride.v;
  // A thread's products: points × halves of the inputs, the halves only where 36 points do not divide evenly.
  long halves = POINTS % threads == 0 || inputs < 64 ? 1 : 2;
  span products = share_of(POINTS * halves, thread, threads);
  for (long begin = 0; begin < tiles; begin += block) {
    long depth = min_long(block, tiles - begin);
    transform_share(job, thread, threads, begin, depth, v, d);
    for (long item = products.first; item < products.last; item++) {
      long point = item / halves;
      span rows = share_of(inputs, item % halves, halves);
      ck_gemm_far(
        rows.last - rows.first, outputs, depth, v + point * stride.v + rows.first, 1, v_row(conv),
        d + point * stride.d, du + point * stride.u + rows.first * outputs, outputs, begin > 0);
    }
    ck_barrier();
  }
  gradient_of_share(job, thread, threads, du, stride.u, 1, 0);
}

void ck_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, float *workspace) {
  long block = gradient_block(conv);
  gradient_job job = {conv, x, dy, dw, workspace, block, strides_of(conv, block)};
  ck_parallel(is_alone(conv) ? alone_body : is_in_parts(conv) ? parts_body : together_body, &job);
}
