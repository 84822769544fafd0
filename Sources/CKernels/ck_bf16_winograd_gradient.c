// As ck_winograd_gradient.c, with products in bfloat16: dg = Gᵀ[Σ_tiles (Bᵀ d B) ⊙ (A dY Aᵀ)]G. A word holds a pair of tiles.
//
// The sums of all 36 points, dU, are to stay in the second-level cache. Few channels leave room for all of them: each thread takes pairs
// of its own, and the threads' sums are added at the end. With many, all threads transform a block of pairs together and then share
// out parts of dU, 64 inputs × 32 outputs, or the points of each where threads are more than parts.
#include "ck_bf16_winograd.h"

#pragma clang fp contract(fast)

/// Pairs of tiles.
static long pairs_of(const ck_winograd *conv) { return ceil_div(tiles_of(conv).all, 2); }

/// A part of dU.
enum { PART_INPUTS = 64, PART_OUTPUTS = CK_PANEL };

/// How the work is laid out. Strides are from one point's matrix to the next.
typedef struct {
  long input_parts, output_parts;
  long part;            ///< floats of a part's 36 matrices
  int alone;            ///< whether each thread sums over pairs of its own
  int pieces;           ///< runs of points that a part is cut into
  int single;           ///< whether a thread is done with a part before it begins the next
  long block;           ///< pairs taken together
  long v_stride, d_stride;
  long sums;            ///< floats of dU: of all parts, or of those that exist at a time
  long words;           ///< words of V and D
} plan;

static plan plan_of(const ck_winograd *conv) {
  plan p = {.input_parts = ceil_div(conv->inputs, PART_INPUTS), .output_parts = ceil_div(conv->outputs, PART_OUTPUTS)};
  long pair_bytes = POINTS * (long)sizeof(ck_pair_word) * (conv->inputs + conv->outputs), pairs = max_long(1, pairs_of(conv));
  long part_inputs = min_long(PART_INPUTS, conv->inputs), part_outputs = min_long(PART_OUTPUTS, conv->outputs);
  p.part = POINTS * point_stride(part_inputs, part_outputs);
  long all = p.input_parts * p.output_parts * p.part;
  p.alone = all * (long)sizeof(float) <= 5L << 17 && pairs >= 16 * ck_threads();
  // V and D of a thread alone take 256 KiB beside dU; those of all threads about 8 MiB.
  long fit = max_long(8, (p.alone ? 1L << 18 : 8L << 20) / pair_bytes);
  long most = p.alone ? ceil_div(pairs, ck_threads()) : pairs;
  p.block = ceil_div(most, ceil_div(most, fit));
  p.v_stride = point_stride(p.block, conv->inputs), p.d_stride = point_stride(p.block, conv->outputs);
  p.words = POINTS * (p.v_stride + p.d_stride);
  p.pieces = p.input_parts * p.output_parts < ck_threads() ? POINTS : 1;
  p.single = !p.alone && p.pieces == 1 && p.block >= pairs;
  p.sums = p.single ? p.part : all;
  return p;
}

size_t ck_bf16_winograd_backward_weights_workspace(const ck_winograd *conv) {
  plan p = plan_of(conv);
  long sums = p.alone || p.single ? ck_threads() * p.sums : p.sums;
  return (size_t)(sums + (p.alone ? ck_threads() * p.words : p.words)) * sizeof(float);
}

#if defined(__x86_64__)

typedef struct {
  const ck_winograd *conv;
  const float *x, *dy;
  float *dw, *workspace;
  plan plan;
} gradient_job;

/// Both tiles of pair `pair` of a tensor, `border` pixels of it outside the tile on each side; a tile that does not exist reads zeros.
CK_BF16_INLINE void transform_pair(
  const tile_side side, const long border, const ck_winograd *conv, const float *x, long blocks, long block, long pair,
  ck_pair_word *out, long stride) {
  tile_grid grid = tiles_of(conv);
  pixel_window w[2];
  for (int odd = 0; odd < 2; odd++) {
    tile_place at = place_of(grid, min_long(pair * 2 + odd, grid.all - 1));
    fetch_ahead(conv, pixels_ahead(conv, x, blocks * 16, pair * 2 + odd, border), block);
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

/// Inputs and outputs of part `item`.
typedef struct {
  span inputs, outputs;
} channel_part;

CK_INLINE channel_part part_of(const gradient_job *job, long item) {
  long i = item % job->plan.input_parts * PART_INPUTS, o = item / job->plan.input_parts * PART_OUTPUTS;
  return (channel_part){
    {i, min_long(i + PART_INPUTS, job->conv->inputs)}, {o, min_long(o + PART_OUTPUTS, job->conv->outputs)}};
}

/// dU of a part at some points, [point][inputs][outputs] = or += Vᵀ·D over `depth` pairs.
static void multiply(
  const gradient_job *job, channel_part part, span points, const ck_pair_word *v, const ck_pair_word *d, long depth,
  int accumulate, float *du) {
  const plan *p = &job->plan;
  long inputs = part.inputs.last - part.inputs.first, outputs = part.outputs.last - part.outputs.first;
  for (long point = points.first; point < points.last; point++)
    ck_bf16_gemm(
      inputs, outputs, depth, v + point * p->v_stride + part.inputs.first, 1, job->conv->inputs,
      d + point * p->d_stride + part.outputs.first * depth, du + point * (p->part / POINTS), outputs, accumulate);
}

/// dw of some inputs of a part from the sum of `count` dU, `pitch` floats apart.
CK_BF16 static void gradient_of_weights(
  const gradient_job *job, channel_part part, span inputs, const float *du, long count, long pitch) {
  long stride = job->plan.part / POINTS, outputs = part.outputs.last - part.outputs.first;
  for (long output = part.outputs.first; output < part.outputs.last; output += 16)
    for (long input = inputs.first; input < inputs.last; input++) {
      const float *in = du + (input - part.inputs.first) * outputs + output - part.outputs.first;
      gradient_of_taps(in, stride, count, pitch, taps_at(job->dw, job->conv->inputs, input, output / 16));
    }
}

/// This thread's share of the inputs of all parts, once all threads have made their sums.
static void share_gradient(const gradient_job *job, int thread, int threads, const float *du, long count, long pitch) {
  const plan *p = &job->plan;
  long inputs = job->conv->inputs;
  span mine = share_of(inputs * p->output_parts, thread, threads);
  for (long row = mine.first; row < mine.last; row++) {
    long input = row % inputs, item = row / inputs * p->input_parts + input / PART_INPUTS;
    gradient_of_weights(job, part_of(job, item), (span){input, input + 1}, du + item * p->part, count, pitch);
  }
}

/// Each thread its own pairs, all parts of dU.
static void gradient_alone(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const plan *p = &job->plan;
  long parts = p->input_parts * p->output_parts;
  float *du = job->workspace + thread * p->sums;
  ck_pair_word *v = (ck_pair_word *)(job->workspace + threads * p->sums) + thread * p->words, *d = v + POINTS * p->v_stride;
  span mine = share_of(pairs_of(job->conv), thread, threads);
  for (long begin = mine.first; begin < mine.last; begin += p->block) {
    long end = min_long(begin + p->block, mine.last);
    transform_input(job, begin, end, v, p->v_stride);
    transform_output_gradient(job, begin, end, d, p->d_stride, 0, end - begin);
    for (long item = 0; item < parts; item++)
      multiply(
        job, part_of(job, item), (span){0, POINTS}, v, d, end - begin, begin > mine.first, du + item * p->part);
  }
  ck_barrier();
  share_gradient(job, thread, threads, job->workspace, threads, p->sums);
}

/// All threads together, a block of pairs at a time.
static void gradient_together(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const plan *p = &job->plan;
  long pairs = pairs_of(job->conv);
  float *du = job->workspace + (p->single ? thread * p->sums : 0);
  ck_pair_word *v = (ck_pair_word *)(job->workspace + (p->single ? threads : 1) * p->sums), *d = v + POINTS * p->v_stride;
  span items = share_of(p->input_parts * p->output_parts * p->pieces, thread, threads);
  for (long begin = 0; begin < pairs; begin += p->block) {
    long depth = min_long(p->block, pairs - begin);
    span mine = share_of(depth, thread, threads);
    transform_input(job, begin + mine.first, begin + mine.last, v + mine.first * job->conv->inputs, p->v_stride);
    transform_output_gradient(job, begin + mine.first, begin + mine.last, d, p->d_stride, mine.first, depth);
    ck_barrier();
    for (long item = items.first; item < items.last; item++) {
      channel_part part = part_of(job, item / p->pieces);
      float *sums = p->single ? du : du + item / p->pieces * p->part;
      multiply(job, part, share_of(POINTS, item % p->pieces, p->pieces), v, d, depth, begin > 0, sums);
      if (p->pieces == 1 && begin + depth == pairs) gradient_of_weights(job, part, part.inputs, sums, 1, 0);
    }
    ck_barrier();
  }
  if (p->pieces > 1) share_gradient(job, thread, threads, du, 1, 0);
}

void ck_bf16_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, void *workspace) {
  gradient_job job = {conv, x, dy, dw, workspace, plan_of(conv)};
  ck_parallel(job.plan.alone ? gradient_alone : gradient_together, &job);
}
#else
void ck_bf16_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, void *workspace) {}
#endif
