// Winograd's F(4×4, 3×3) with its products in bfloat16: forward, and the gradient of the input.
#include "ck_bf16_winograd.h"

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

/// Up to FEW tiles U, where it is not kept, would be written to memory to be read once or twice: then every thread transforms the weights as
/// it needs them, FEW_INPUTS × FEW_OUTPUTS at a time, and takes outputs of its own, unless more threads could have tiles of their own.
enum { FEW = 64, FEW_INPUTS = 64, FEW_OUTPUTS = CK_PANEL };

static int has_few(const ck_winograd *conv, long outputs) {
  long tiles = tiles_of(conv).all;
  return !conv->keeps && tiles <= FEW && ceil_div(outputs, FEW_OUTPUTS) >= min_long(ck_threads(), tiles);
}

static size_t weights_size(const ck_winograd *conv, long inputs, long outputs) {
  if (has_few(conv, outputs)) return 0;
  return (size_t)(POINTS * point_stride(words(inputs), outputs)) * sizeof(ck_pair_word);
}

size_t ck_bf16_winograd_weights(const ck_winograd *conv) { return weights_size(conv, conv->inputs, conv->outputs); }
size_t ck_bf16_winograd_weights_backward(const ck_winograd *conv) {
  return weights_size(conv, conv->outputs, conv->inputs);
}

static long workspace_per_thread(long inputs) {
  long block = tile_block(inputs);
  return POINTS * (point_stride(block, words(inputs)) + point_stride(block, GROUP));
}

/// Strides from one point's matrix to the next, where tiles are few.
typedef struct {
  long v, u, m;
} few_strides;

CK_INLINE few_strides few_strides_of(const ck_winograd *conv, long inputs) {
  long tiles = tiles_of(conv).all;
  return (few_strides){
    point_stride(tiles, words(inputs)), point_stride(words(FEW_INPUTS), FEW_OUTPUTS), point_stride(tiles, FEW_OUTPUTS)};
}

static size_t workspace(const ck_winograd *conv, long inputs, long outputs) {
  few_strides few = few_strides_of(conv, inputs);
  long floats = has_few(conv, outputs) ? POINTS * (few.v + ck_threads() * (few.u + few.m))
                                       : ck_threads() * workspace_per_thread(inputs);
  return (size_t)floats * sizeof(float);
}

size_t ck_bf16_winograd_forward_workspace(const ck_winograd *conv) {
  return workspace(conv, conv->inputs, conv->outputs);
}

size_t ck_bf16_winograd_backward_data_workspace(const ck_winograd *conv) {
  return workspace(conv, conv->outputs, conv->inputs);
}

#if defined(__x86_64__)

// MARK: weights

typedef struct {
  const float *w;
  ck_pair_word *transformed;
  long inputs, outputs;  ///< of the convolution that will use the result
  int backward;          ///< w is of the forward convolution: swap inputs and outputs, turn the filter by 180°
} weight_job;

/// Transforms 16 inputs × 16 outputs of w: 8 rows of pairs of inputs, `row` words apart, at each of the 36 points, `stride` words apart.
CK_BF16 static void transform_weight_block(
  const weight_job *job, long input_block, long output_block, ck_pair_word *to, long row, long stride) {
  float turned[9][16][16];
  long input_blocks = job->inputs / 16, output_blocks = job->outputs / 16;
  const float *taps = job->w + (output_block * input_blocks + input_block) * 9 * 256;
  if (job->backward) {
    taps = job->w + (input_block * output_blocks + output_block) * 9 * 256;
    for (int tap = 0; tap < 9; tap++) transpose16(taps + tap * 256, 16, turned[8 - tap][0], 16);
    taps = turned[0][0];
  }
  for (int pair = 0; pair < 8; pair++, to += row) {
    v16 points[2][POINTS];
    for (int odd = 0; odd < 2; odd++) {
      v16 columns[3][6];
      for (int j = 0; j < 3; j++) {
        v16 g[3];
        for (int i = 0; i < 3; i++) g[i] = load16(taps + (i * 3 + j) * 256 + (pair * 2 + odd) * 16);
        filter_map(g, columns[j]);
      }
      for (int i = 0; i < 6; i++) {
        v16 row[3] = {columns[0][i], columns[1][i], columns[2][i]};
        filter_map(row, points[odd] + i * 6);
      }
    }
    for (int point = 0; point < POINTS; point++) store_paired(to + point * stride, &points[0][point], &points[1][point]);
  }
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

typedef struct {
  const ck_winograd *conv;
  long inputs, outputs;
  const float *x;
  const void *weights;  ///< transformed, or as they are where tiles are few
  int backward;
  const float *bias, *residual;
  float *y, *workspace;
  int streams;  ///< whether y is written past the caches
} forward_job;

/// Blocks first_block..<last_block of V[point][tile][inputs] of the tiles first..<last, tile `first` being row 0.
CK_BF16 static void transform_input(
  const forward_job *job, long first, long last, long first_block, long last_block, ck_pair_word *v, long stride) {
  long blocks = job->inputs / 16;
  tile_grid grid = tiles_of(job->conv);
  for (long tile = first; tile < last; tile++) {
    tile_place at = place_of(grid, tile);
    const float *ahead = pixels_ahead(job->conv, job->x, job->inputs, tile, 1);
    for (long block = first_block; block < last_block; block++) {
      fetch_ahead(job->conv, ahead, block);
      pixel_window w = window_at(INPUT_TILE, job->x, job->conv, blocks, block, at.image, at.top - 1, at.left - 1);
      ck_pair_word *out = v + (tile - first) * words(job->inputs) + block * 8;
      if (w.whole)
        map_tile(INPUT_TILE, 1, &w, out, stride);
      else
        map_tile(INPUT_TILE, 0, &w, out, stride);
    }
  }
}

/// Channels [begin, end) of y of the tiles first..<last, from M[point][tile] of `row_size` floats.
CK_BF16 static void transform_output(
  const forward_job *job, long first, long last, long begin, long end, const float *m, long row_size, long stride) {
  long height = job->conv->height, width = job->conv->width;
  tile_grid grid = tiles_of(job->conv);
  for (long tile = first; tile < last; tile++) {
    tile_place at = place_of(grid, tile);
    long rows = min_long(4, height - at.top), columns = min_long(4, width - at.left);
    for (long channel = begin; channel < end; channel += 16) {
      const float *in = m + (tile - first) * row_size + channel - begin;
      v16 half[6][4];
      for (int j = 0; j < 6; j++) {
        v16 column[6];
        for (int i = 0; i < 6; i++) column[i] = load16(in + (i * 6 + j) * stride);
        output_map(column, half[j]);
      }
      v16 bias = job->bias ? load16(job->bias + channel) : (v16){0};
      long corner = ((at.image * job->outputs + channel) * height + at.top * 16) * width + at.left * 16;
      for (int i = 0; i < rows; i++) {
        v16 row[6], out[4];
        for (int j = 0; j < 6; j++) row[j] = half[j][i];
        output_map(row, out);
        float *y = job->y + corner + i * width * 16;
        const float *residual = job->residual ? job->residual + corner + i * width * 16 : NULL;
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

static void forward_body(void *context, int thread, int threads) {
  const forward_job *job = context;
  long outputs = job->outputs, depth = words(job->inputs), block = tile_block(job->inputs);
  long v_stride = point_stride(block, depth), m_stride = point_stride(block, GROUP), u_stride = point_stride(depth, outputs);
  float *m = job->workspace + thread * workspace_per_thread(job->inputs);
  ck_pair_word *v = (ck_pair_word *)(m + POINTS * m_stride);
  span mine = share_of(tiles_of(job->conv).all, thread, threads);
  // Blocks of equal size, so that none is left with a few tiles.
  long count = ceil_div(mine.last - mine.first, block);
  for (long index = 0; index < count; index++) {
    span tiles = share_of(mine.last - mine.first, index, count);
    long first = mine.first + tiles.first, last = mine.first + tiles.last;
    transform_input(job, first, last, 0, job->inputs / 16, v, v_stride);
    for (long begin = 0; begin < outputs; begin += GROUP) {
      long end = min_long(begin + GROUP, outputs);
      for (int point = 0; point < POINTS; point++)
        ck_bf16_gemm(
          last - first, end - begin, depth, v + point * v_stride, depth, 1,
          (const ck_pair_word *)job->weights + point * u_stride + begin * depth, m + point * m_stride, GROUP, 0);
      transform_output(job, first, last, begin, end, m, GROUP, m_stride);
    }
  }
  if (job->streams) end_of_stream();
}

static void few_body(void *context, int thread, int threads) {
  const forward_job *job = context;
  weight_job weights = {job->weights, NULL, job->inputs, job->outputs, job->backward};
  few_strides stride = few_strides_of(job->conv, job->inputs);
  long tiles = tiles_of(job->conv).all, depth = words(job->inputs), blocks = job->inputs / 16;
  ck_pair_word *v = (ck_pair_word *)job->workspace, *u = v + POINTS * (stride.v + thread * (stride.u + stride.m));
  float *m = (float *)(u + POINTS * stride.u);
  span mine = share_of(tiles * blocks, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long tile = item / blocks, block = item % blocks;
    transform_input(job, tile, tile + 1, block, block + 1, v + tile * depth, stride.v);
  }
  ck_barrier();
  span groups = share_of(ceil_div(job->outputs, FEW_OUTPUTS), thread, threads);
  for (long group = groups.first; group < groups.last; group++) {
    long begin = group * FEW_OUTPUTS, end = min_long(begin + FEW_OUTPUTS, job->outputs), width = end - begin;
    for (long first = 0; first < blocks; first += FEW_INPUTS / 16) {
      long last = min_long(first + FEW_INPUTS / 16, blocks);
      for (long item = 0; item < (last - first) * (width / 16); item++) {
        long block = first + item % (last - first), half = item / (last - first);
        transform_weight_block(
          &weights, block, begin / 16 + half, u + (block - first) * 8 * width + half * 16, width, stride.u);
      }
      for (int point = 0; point < POINTS; point++)
        ck_bf16_gemm(
          tiles, width, (last - first) * 8, v + point * stride.v + first * 8, depth, 1, u + point * stride.u,
          m + point * stride.m, FEW_OUTPUTS, first > 0);
    }
    transform_output(job, 0, tiles, begin, end, m, FEW_OUTPUTS, stride.m);
  }
}

static void run(forward_job job) {
  int few = has_few(job.conv, job.outputs);
  job.streams = !few && streams(job.y, job.conv->samples * job.outputs * job.conv->height * job.conv->width);
  ck_parallel(few ? few_body : forward_body, &job);
}

void ck_bf16_winograd_forward(
  const ck_winograd *conv, const float *x, const void *weights, const float *bias, const float *residual, float *y,
  void *workspace) {
  run((forward_job){conv, conv->inputs, conv->outputs, x, weights, 0, bias, residual, y, workspace});
}

void ck_bf16_winograd_backward_data(
  const ck_winograd *conv, const float *dy, const void *weights, const float *residual, float *dx, void *workspace) {
  run((forward_job){conv, conv->outputs, conv->inputs, dy, weights, 1, NULL, residual, dx, workspace});
}
#else
void ck_bf16_winograd_transform(const ck_winograd *conv, const float *w, void *transformed) {}
void ck_bf16_winograd_transform_backward(const ck_winograd *conv, const float *w, void *transformed) {}
void ck_bf16_winograd_forward(
  const ck_winograd *conv, const float *x, const void *weights, const float *bias, const float *residual, float *y,
  void *workspace) {}
void ck_bf16_winograd_backward_data(
  const ck_winograd *conv, const float *dy, const void *weights, const float *residual, float *dx, void *workspace) {}
#endif
