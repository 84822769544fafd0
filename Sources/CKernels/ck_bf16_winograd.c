// Winograd's F(4×4, 3×3) with its products in bfloat16: forward, and the gradient of the input.
#include "ck_bf16_winograd.h"
#include "ck_winograd_panels.h"

#pragma clang fp contract(fast)

// MARK: sizes

/// Outputs whose sums one thread holds at a time: few, so that they and the inputs of a block stay in the second-level cache.
enum { GROUP = 64 };

/// Tiles taken together by one thread: V (16 bits) and M (32 bits) of about 576 KiB; at least 24, so that U is used often enough.
static long tile_block(long inputs) {
  long fit = (9L << 16) / (POINTS * (2 * inputs + 4 * GROUP));
  return max_long(24, min_long(fit / 12 * 12, 96));
}

/// Words of the inputs of one tile at one point.
CK_INLINE long words(long inputs) { return inputs / 2; }

static int packs(const ck_winograd *conv) { return is_made_beforehand(words(conv->inputs) * conv->outputs); }

static const winograd_arithmetic arithmetic;

size_t ck_bf16_winograd_weights(const ck_winograd *conv) {
  if (!packs(conv)) return 0;
  return (size_t)(POINTS * point_stride(words(conv->inputs), conv->outputs)) * sizeof(ck_pair_word);
}

static long workspace_per_thread(long inputs) {
  long block = tile_block(inputs);
  return POINTS * (point_stride(block, words(inputs)) + point_stride(block, GROUP));
}

static size_t workspace(const ck_winograd *conv, long inputs, long outputs, int backward) {
  long floats = packs(conv) ? ck_threads() * workspace_per_thread(inputs)
                            : winograd_panels_workspace(&arithmetic, conv, inputs, outputs, backward);
  return (size_t)floats * sizeof(float);
}

size_t ck_bf16_winograd_forward_workspace(const ck_winograd *conv) {
  return workspace(conv, conv->inputs, conv->outputs, 0);
}

size_t ck_bf16_winograd_backward_data_workspace(const ck_winograd *conv) {
  return workspace(conv, conv->outputs, conv->inputs, 1);
}

#if defined(__x86_64__)

// MARK: weights

typedef struct {
  const float *w;
  ck_pair_word *transformed;
  long inputs, outputs;  ///< of the convolution that will use the result
  int backward;          ///< w is of the forward convolution: swap inputs and outputs, turn the filter by 180°
} weight_job;

/// Taps of 16 outputs and two inputs, each of `bytes`, a constant where this is inlined.
CK_BF16_INLINE void load_taps(const int bytes, const void *w, v16 even[9], v16 odd[9]) {
#pragma clang loop unroll(full)
  for (int tap = 0; tap < 9; tap++)
    if (bytes == 2) {
      load_paired((const ck_pair_word *)w + tap * 128, &even[tap], &odd[tap]);
    } else {
      even[tap] = load16((const float *)w + tap * 256);
      odd[tap] = load16((const float *)w + tap * 256 + 16);
    }
}

/// U at the six points of row `row` of those taps: words, `stride` from point to point.
CK_BF16_INLINE void transform_pair(const int row, const int bytes, const void *w, ck_pair_word *u, long stride) {
  v16 taps[2][9], even[6], odd[6];
  load_taps(bytes, w, taps[0], taps[1]);
  transform_filter(row, taps[0], even);
  transform_filter(row, taps[1], odd);
#pragma clang loop unroll(full)
  for (int j = 0; j < 6; j++) store_paired(u + j * stride, &even[j], &odd[j]);
}

/// Transforms 16 inputs × 16 outputs of w: 8 rows of pairs of inputs, `row` words apart, at each of the 36 points, `stride` words apart.
CK_BF16 static void transform_weight_block(
  const weight_job *job, long input_block, long output_block, ck_pair_word *to, long row, long stride) {
  float turned[9 * 256];
  long input_blocks = job->inputs / 16, output_blocks = job->outputs / 16;
  const float *taps = job->w + (output_block * input_blocks + input_block) * 9 * 256;
  if (job->backward) {
    turn_taps(job->w + (input_block * output_blocks + output_block) * 9 * 256, turned);
    taps = turned;
  }
  for (int pair = 0; pair < 8; pair++, taps += 32, to += row)
#pragma clang loop unroll(full)
    for (int i = 0; i < 6; i++) transform_pair(i, sizeof(float), taps, to + i * 6 * stride, stride);
}

static void weight_body(void *context, int thread, int threads) {
  const weight_job *job = context;
  long input_blocks = job->inputs / 16, output_blocks = job->outputs / 16;
  span mine = share_of(input_blocks * output_blocks, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long input_block = item % input_blocks, output_block = item / input_blocks, panel = output_block / 2;
    long row = panel_width(panel, job->outputs);
    ck_pair_word *to = job->transformed + panel_offset(panel, words(job->inputs)) + input_block * 8 * row;
    transform_weight_block(
      job, input_block, output_block, to + output_block % 2 * 16, row, point_stride(words(job->inputs), job->outputs));
  }
}

void ck_bf16_winograd_transform(const ck_winograd *conv, const float *w, void *transformed) {
  weight_job job = {w, transformed, conv->inputs, conv->outputs, 0};
  ck_parallel(weight_body, &job);
}

void ck_bf16_winograd_transform_backward(const ck_winograd *conv, const float *w, void *transformed) {
  weight_job job = {w, transformed, conv->outputs, conv->inputs, 1};
  ck_parallel(weight_body, &job);
}

// MARK: forward, backward data

/// Blocks `those` of V[point][tile][inputs] of the tiles first..<last, tile `first` being row 0.
CK_BF16 static void transform_input_rounded(
  const winograd_job *job, long first, long last, span those, float *v, long stride) {
  long blocks = job->inputs / 16;
  tile_grid grid = tiles_of(job->conv);
  for (long tile = first; tile < last; tile++) {
    tile_place at = place_of(grid, tile);
    const float *ahead = pixels_ahead(job->conv, job->x, job->inputs, tile, 1);
    for (long block = those.first; block < those.last; block++) {
      fetch_ahead(job->conv, ahead, block);
      pixel_window w = window_at(INPUT_TILE, job->x, job->conv, blocks, block, at.image, at.top - 1, at.left - 1);
      ck_pair_word *out = (ck_pair_word *)v + (tile - first) * words(job->inputs) + block * 8;
      if (w.whole)
        map_tile_rounded(INPUT_TILE, 1, &w, out, stride);
      else
        map_tile_rounded(INPUT_TILE, 0, &w, out, stride);
    }
  }
}

static void forward_body(void *context, int thread, int threads) {
  const winograd_job *job = context;
  long outputs = job->outputs, depth = words(job->inputs), block = tile_block(job->inputs);
  long v_stride = point_stride(block, depth), m_stride = point_stride(block, GROUP), u_stride = point_stride(depth, outputs);
  float *m = job->workspace + thread * workspace_per_thread(job->inputs);
  float *v = m + POINTS * m_stride;
  span mine = share_of(tiles_of(job->conv).all, thread, threads);
  // Blocks of equal size, so that none is left with a few tiles.
  long count = ceil_div(mine.last - mine.first, block);
  for (long index = 0; index < count; index++) {
    span tiles = share_of(mine.last - mine.first, index, count);
    long first = mine.first + tiles.first, last = mine.first + tiles.last;
    transform_input_rounded(job, first, last, (span){0, job->inputs / 16}, v, v_stride);
    for (long begin = 0; begin < outputs; begin += GROUP) {
      long end = min_long(begin + GROUP, outputs);
      for (int point = 0; point < POINTS; point++)
        ck_bf16_gemm(
          last - first, end - begin, depth, (const ck_pair_word *)v + point * v_stride, depth, 1,
          (const ck_pair_word *)job->weights + point * u_stride + begin * depth, m + point * m_stride, end - begin, 0);
      transform_output(job, first, last, (span){begin / 16, end / 16}, m, m_stride);
    }
  }
  if (job->streams) end_of_stream();
}

// MARK: weights too many to be transformed beforehand

/// U at the six points of row `row` of weights of `bytes`, constants where this is inlined: [6][inputs/2][width].
CK_BF16_INLINE void transform_row_rounded(
  const int row, const int bytes, const char *w, long inputs, long width, ck_pair_word *u, long stride) {
  for (long half = 0; half < width; half += 16)
    for (long block = 0; block < inputs; block += 16, w += 9 * 256 * bytes)
#pragma clang loop unroll(disable)
      for (int i = 0; i < 16; i += 2)
        transform_pair(row, bytes, w + i * 16 * bytes, u + (block + i) / 2 * width + half, stride);
}

CK_BF16_INLINE void transform_points_rounded(
  const int bytes, int row, const void *w, long inputs, long width, float *u, long stride) {
#define ROW(index) \
  case index: transform_row_rounded(index, bytes, w, inputs, width, (ck_pair_word *)u, stride); break
  switch (row) { ROW(0); ROW(1); ROW(2); ROW(3); ROW(4); ROW(5); }
#undef ROW
}

CK_BF16 static void transform_points_of_floats(
  int row, const void *w, long inputs, long width, float *u, long stride) {
  transform_points_rounded(sizeof(float), row, w, inputs, width, u, stride);
}

CK_BF16 static void transform_points_of_words(
  int row, const void *w, long inputs, long width, float *u, long stride) {
  transform_points_rounded(sizeof(uint16_t), row, w, inputs, width, u, stride);
}

static void multiply_rounded(
  long m, long n, long k, const float *a, const float *b, float *c, const float *next, long step) {
  ck_bf16_gemm_fetching(m, n, k, (const ck_pair_word *)a, k, 1, (const ck_pair_word *)b, c, n, 0, next, step);
}

static const winograd_arithmetic arithmetic = {
  2, sizeof(float), transform_input_rounded, transform_points_of_floats, multiply_rounded};
static const winograd_arithmetic arithmetic_of_words = {
  2, sizeof(uint16_t), transform_input_rounded, transform_points_of_words, multiply_rounded};

static void run(const winograd_arithmetic *arithmetic, winograd_job job) {
  job.streams = streams(job.y, job.conv->samples * job.outputs * job.conv->height * job.conv->width);
  if (packs(job.conv))
    ck_parallel(forward_body, &job);
  else
    winograd_panels(arithmetic, &job);
}

void ck_bf16_winograd_forward(
  const ck_winograd *conv, const float *x, const void *weights, const float *bias, const float *residual, float *y,
  void *workspace) {
  run(&arithmetic, (winograd_job){conv, conv->inputs, conv->outputs, 0, x, weights, bias, residual, y, workspace});
}

void ck_bf16_winograd_forward_of_words(
  const ck_winograd *conv, const float *x, const void *weights, const float *bias, const float *residual, float *y,
  void *workspace) {
  run(
    &arithmetic_of_words,
    (winograd_job){conv, conv->inputs, conv->outputs, 0, x, weights, bias, residual, y, workspace});
}

void ck_bf16_winograd_backward_data(
  const ck_winograd *conv, const float *dy, const void *weights, const float *residual, float *dx, void *workspace) {
  run(
    &arithmetic, (winograd_job){conv, conv->outputs, conv->inputs, 1, dy, weights, NULL, residual, dx, workspace});
}
#else
static const winograd_arithmetic arithmetic = {2, sizeof(float)};

void ck_bf16_winograd_transform(const ck_winograd *conv, const float *w, void *transformed) {}
void ck_bf16_winograd_transform_backward(const ck_winograd *conv, const float *w, void *transformed) {}
void ck_bf16_winograd_forward(
  const ck_winograd *conv, const float *x, const void *weights, const float *bias, const float *residual, float *y,
  void *workspace) {}
void ck_bf16_winograd_forward_of_words(
  const ck_winograd *conv, const float *x, const void *weights, const float *bias, const float *residual, float *y,
  void *workspace) {}
void ck_bf16_winograd_backward_data(
  const ck_winograd *conv, const float *dy, const void *weights, const float *residual, float *dx, void *workspace) {}
#endif
