#include "ck_winograd_input.h"
#include "ck_winograd_panels.h"
#include "ck_winograd_sums.h"

#pragma clang fp contract(fast)

static const winograd_arithmetic *arithmetic(void);

// MARK: sizes

/// Whether U is made beforehand: not for few tiles, whose sums take no longer from the weights themselves, a quarter of the numbers.
static int packs(const ck_winograd *conv) {
  return is_made_beforehand(conv->inputs * conv->outputs) && tiles_of(conv).all > arithmetic()->few;
}

/// Tiles taken together by one thread: V and M of half a megabyte stay in the second-level cache beside what is fetched ahead.
static long tile_block(long inputs, long outputs) {
  long fit = (2L << 18) / (POINTS * (long)sizeof(float) * (inputs + outputs));
  return max_long(24, min_long(fit / 12 * 12, 192));
}

long ck_winograd_weights(const ck_winograd *conv) {
  return packs(conv) ? POINTS * point_stride(conv->inputs, conv->outputs) : 0;
}

static long workspace_per_thread(long inputs, long outputs) {
  long block = tile_block(inputs, outputs);
  return POINTS * (point_stride(block, inputs) + point_stride(block, outputs));
}

static long workspace(const ck_winograd *conv, long inputs, long outputs, int backward) {
  if (!packs(conv)) return winograd_panels_workspace(arithmetic(), conv, inputs, outputs, backward);
  return ck_threads() * workspace_per_thread(inputs, outputs);
}

long ck_winograd_forward_workspace(const ck_winograd *conv) { return workspace(conv, conv->inputs, conv->outputs, 0); }

long ck_winograd_backward_data_workspace(const ck_winograd *conv) {
  return workspace(conv, conv->outputs, conv->inputs, 1);
}

// MARK: weights

typedef struct {
  const float *w;
  float *transformed;
  long inputs, outputs;  ///< of the convolution that will use the result
  int backward;          ///< w is of the forward convolution: swap inputs and outputs, turn the filter by 180°
} weight_job;

/// Transforms 16 inputs × one panel of outputs: 16 rows of each of the 36 points.
CK_CLONES static void transform_weight_block(const weight_job *job, long input_block, long panel) {
  float turned[9 * 256];
  long input_blocks = job->inputs / 16, output_blocks = job->outputs / 16, width = panel_width(panel, job->outputs);
  long stride = point_stride(job->inputs, job->outputs);
  for (long half = 0; half < width / 16; half++) {
    long output_block = panel * 2 + half;
    const float *taps = job->w + (output_block * input_blocks + input_block) * 9 * 256;
    if (job->backward) {
      turn_taps(job->w + (input_block * output_blocks + output_block) * 9 * 256, turned);
      taps = turned;
    }
    float *to = job->transformed + panel_offset(panel, job->inputs) + input_block * 16 * width + half * 16;
    for (int input = 0; input < 16; input++, taps += 16, to += width)
#pragma clang loop unroll(full)
      for (int i = 0; i < 6; i++) {
        v16 points[6];
        transform_taps(i, taps, points);
#pragma clang loop unroll(full)
        for (int j = 0; j < 6; j++) store16(to + (i * 6 + j) * stride, points[j]);
      }
  }
}

static void weight_body(void *context, int thread, int threads) {
  const weight_job *job = context;
  long input_blocks = job->inputs / 16, panels = ceil_div(job->outputs, CK_PANEL);
  span mine = share_of(input_blocks * panels, thread, threads);
  for (long item = mine.first; item < mine.last; item++)
    transform_weight_block(job, item % input_blocks, item / input_blocks);
}

void ck_winograd_transform(const ck_winograd *conv, const float *w, float *transformed) {
  weight_job job = {w, transformed, conv->inputs, conv->outputs, 0};
  ck_parallel(weight_body, &job);
}

void ck_winograd_transform_backward(const ck_winograd *conv, const float *w, float *transformed) {
  weight_job job = {w, transformed, conv->outputs, conv->inputs, 1};
  ck_parallel(weight_body, &job);
}

// MARK: forward, backward data

static void forward_body(void *context, int thread, int threads) {
  const winograd_job *job = context;
  long inputs = job->inputs, outputs = job->outputs, block = tile_block(inputs, outputs);
  long v_stride = point_stride(block, inputs), m_stride = point_stride(block, outputs);
  long u_stride = point_stride(inputs, outputs);
  float *v = job->workspace + thread * workspace_per_thread(inputs, outputs), *m = v + POINTS * v_stride;
  span mine = share_of(tiles_of(job->conv).all, thread, threads);
  // Blocks of equal size, so that none is left with a few tiles.
  long count = ceil_div(mine.last - mine.first, block);
  for (long index = 0; index < count; index++) {
    span tiles = share_of(mine.last - mine.first, index, count);
    long first = mine.first + tiles.first, last = mine.first + tiles.last;
    transform_input(job->x, job->conv, inputs, first, last, (span){0, inputs / 16}, v, inputs, v_stride);
    for (int point = 0; point < POINTS; point++)
      ck_gemm(
        last - first, outputs, inputs, v + point * v_stride, inputs, 1, (const float *)job->weights + point * u_stride,
        m + point * m_stride, outputs, 0);
    transform_output(job, first, last, (span){0, outputs / 16}, m, m_stride);
  }
  if (job->streams) end_of_stream();
}

static void transform_block_input(
  const winograd_job *job, long first, long last, span those, float *v, long stride) {
  transform_input(job->x, job->conv, job->inputs, first, last, those, v, job->inputs, stride);
}

static void multiply(
  long m, long n, long k, const float *a, const float *b, float *c, const float *next, long step) {
  ck_gemm_fetching(m, n, k, a, k, 1, b, c, n, 0, next, step);
}

static const winograd_arithmetic *arithmetic(void) {
  static const winograd_arithmetic narrow = {1, sizeof(float), transform_block_input, transform_points, multiply};
  static const winograd_arithmetic wide = {1, sizeof(float), transform_block_input, transform_points, multiply, sum_few, 4};
  return has_wide_registers() ? &wide : &narrow;
}

static void run(winograd_job job) {
  job.streams = streams(job.y, job.conv->samples * job.outputs * job.conv->height * job.conv->width);
  if (packs(job.conv))
    ck_parallel(forward_body, &job);
  else
    winograd_panels(arithmetic(), &job);
}

void ck_winograd_forward(
  const ck_winograd *conv, const float *x, const float *weights, const float *bias, const float *residual, float *y,
  float *workspace) {
  run((winograd_job){conv, conv->inputs, conv->outputs, 0, x, weights, bias, residual, y, workspace});
}

void ck_winograd_backward_data(
  const ck_winograd *conv, const float *dy, const float *weights, const float *residual, float *dx, float *workspace) {
  run((winograd_job){conv, conv->outputs, conv->inputs, 1, dy, weights, NULL, residual, dx, workspace});
}
