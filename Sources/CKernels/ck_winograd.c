#include "CKernels.h"
#include "ck_gemm.h"

#pragma clang fp contract(fast)

// Y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A for each 4×4 output tile, d its 6×6 input tile, g the 3×3 filter. Summed over input
// channels, each of the 36 points is a matrix product: M[point] (tiles × outputs) = V[point] (tiles × inputs) ·
// U[point] (inputs × outputs).
//
// With points 0, ±a, ±b, ∞ the three matrices follow from Lagrange interpolation; a = 5/8, b = 3/2 keep their entries
// near 1.
// The gradient of the weights runs the same maps transposed: dg = Gᵀ[Σ_tiles (Bᵀ d B) ⊙ (A dY Aᵀ)]G.

enum { POINTS = 36 };

#define PA 0.625f
#define PB 1.5f
#define A2 (PA * PA)
#define B2 (PB * PB)
// The rows of G at 0, ±a, ±b, divided by the derivatives of the product of (x − point).
#define G0 (1.f / (A2 * B2))
#define GA (1.f / (2 * A2 * (A2 - B2)))
#define GB (1.f / (2 * B2 * (B2 - A2)))

// MARK: one-dimensional maps, on vectors of 16 channels

/// out = G g: 3 → 6.
CK_INLINE void filter_map(const v16 g[3], v16 out[6]) {
  v16 even_a = (g[0] + g[2] * A2) * GA, odd_a = g[1] * (PA * GA);
  v16 even_b = (g[0] + g[2] * B2) * GB, odd_b = g[1] * (PB * GB);
  out[0] = g[0] * G0;
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = g[2];
}

/// out = Gᵀ m: 6 → 3.
CK_INLINE void filter_map_transposed(const v16 m[6], v16 out[3]) {
  v16 sum_a = (m[1] + m[2]) * GA, difference_a = (m[1] - m[2]) * (GA * PA);
  v16 sum_b = (m[3] + m[4]) * GB, difference_b = (m[3] - m[4]) * (GB * PB);
  out[0] = m[0] * G0 + sum_a + sum_b;
  out[1] = difference_a + difference_b;
  out[2] = sum_a * A2 + sum_b * B2 + m[5];
}

/// out = Bᵀ d: 6 → 6.
CK_INLINE void input_map(const v16 d[6], v16 out[6]) {
  v16 even_a = d[4] - d[2] * B2, odd_a = (d[3] - d[1] * B2) * PA;
  v16 even_b = d[4] - d[2] * A2, odd_b = (d[3] - d[1] * A2) * PB;
  out[0] = d[0] * (A2 * B2) - d[2] * (A2 + B2) + d[4];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = d[1] * (A2 * B2) - d[3] * (A2 + B2) + d[5];
}

/// out = Aᵀ m: 6 → 4.
CK_INLINE void output_map(const v16 m[6], v16 out[4]) {
  v16 sum_a = m[1] + m[2], difference_a = m[1] - m[2], sum_b = m[3] + m[4], difference_b = m[3] - m[4];
  out[0] = m[0] + sum_a + sum_b;
  out[1] = difference_a * PA + difference_b * PB;
  out[2] = sum_a * A2 + sum_b * B2;
  out[3] = difference_a * (PA * A2) + difference_b * (PB * B2) + m[5];
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

// MARK: sizes

/// Floats from one point's matrix to the next: five cache lines more than its size, so that the 36 do not share cache
/// sets.
static long point_stride(long rows, long columns) { return rows * columns + 5 * 16; }

/// The 4×4 output tiles of a batch; the last row and column of tiles may be cut.
typedef struct {
  long across, per_image, all;
} tile_grid;

static tile_grid tiles_of(const ck_winograd *conv) {
  long across = (conv->width + 3) / 4, per_image = across * ((conv->height + 3) / 4);
  return (tile_grid){across, per_image, per_image * conv->samples};
}

/// Tiles taken together by one thread: V and M of about a megabyte stay in the second-level cache; with many channels
/// at least 24, so that U, which then comes from beyond that cache, is used often enough.
static long tile_block(long inputs, long outputs) {
  long fit = (5L << 18) / (POINTS * (long)sizeof(float) * (inputs + outputs));
  return max_long(24, min_long(fit / 12 * 12, 192));
}

/// Tiles taken together by all threads in the gradient of the weights: about 8 MiB of V and D, in parts of equal size.
static long gradient_block(const ck_winograd *conv) {
  long fit = max_long(48, (8L << 20) / (POINTS * (long)sizeof(float) * (conv->inputs + conv->outputs)));
  long tiles = max_long(1, tiles_of(conv).all), parts = (tiles + fit - 1) / fit;
  return (tiles + parts - 1) / parts;
}

long ck_winograd_weights(const ck_winograd *conv) { return POINTS * point_stride(conv->inputs, conv->outputs); }

static long forward_workspace_per_thread(long inputs, long outputs) {
  long block = tile_block(inputs, outputs);
  return POINTS * (point_stride(block, inputs) + point_stride(block, outputs));
}

long ck_winograd_forward_workspace(const ck_winograd *conv) {
  return ck_threads() * forward_workspace_per_thread(conv->inputs, conv->outputs);
}

long ck_winograd_backward_data_workspace(const ck_winograd *conv) {
  return ck_threads() * forward_workspace_per_thread(conv->outputs, conv->inputs);
}

long ck_winograd_backward_weights_workspace(const ck_winograd *conv) {
  long block = gradient_block(conv);
  long tiles = point_stride(block, conv->inputs) + point_stride(block, conv->outputs);
  return POINTS * (tiles + point_stride(conv->inputs, conv->outputs));
}

// MARK: weights

typedef struct {
  const float *w;
  float *transformed;
  long inputs, outputs;  ///< of the convolution that will use the result
  int backward;          ///< w is of the forward convolution: swap inputs and outputs, turn the filter by 180°
} weight_job;

/// Transforms 16 inputs × one panel of outputs: writes runs of 16 rows to each of the 36 points.
CK_CLONES static void transform_weight_block(const weight_job *job, long input_block, long panel) {
  float points[POINTS][16][CK_PANEL], turned[9][16][16];
  long input_blocks = job->inputs / 16, output_blocks = job->outputs / 16, width = panel_width(panel, job->outputs);
  for (long half = 0; half < width / 16; half++) {
    long output_block = panel * 2 + half;
    const float *taps = job->w + (output_block * input_blocks + input_block) * 9 * 256;
    if (job->backward) {
      taps = job->w + (input_block * output_blocks + output_block) * 9 * 256;
      for (int tap = 0; tap < 9; tap++) transpose16(taps + tap * 256, 16, turned[8 - tap][0], 16);
      taps = turned[0][0];
    }
    for (int input = 0; input < 16; input++) {
      v16 columns[3][6];
      for (int j = 0; j < 3; j++) {
        v16 g[3];
        for (int i = 0; i < 3; i++) g[i] = load16(taps + (i * 3 + j) * 256 + input * 16);
        filter_map(g, columns[j]);
      }
      for (int i = 0; i < 6; i++) {
        v16 row[3] = {columns[0][i], columns[1][i], columns[2][i]}, out[6];
        filter_map(row, out);
        for (int j = 0; j < 6; j++) store16(points[i * 6 + j][input] + half * 16, out[j]);
      }
    }
  }
  long stride = point_stride(job->inputs, job->outputs);
  float *base = job->transformed + panel_offset(panel, job->inputs) + input_block * 16 * width;
  for (int point = 0; point < POINTS; point++)
    for (int input = 0; input < 16; input++)
      for (long j = 0; j < width; j += 16)
        store16(base + point * stride + input * width + j, load16(points[point][input] + j));
}

static void weight_body(void *context, int thread, int threads) {
  const weight_job *job = context;
  long input_blocks = job->inputs / 16, panels = (job->outputs + CK_PANEL - 1) / CK_PANEL;
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

/// V[point][tile][inputs] of the tiles first..<last of x, tile first being row 0.
CK_CLONES static void transform_input(
  const float *x, const ck_winograd *conv, long channels, long first, long last, float *v, long stride) {
  long height = conv->height, width = conv->width, blocks = channels / 16;
  tile_grid grid = tiles_of(conv);
  for (long tile = first; tile < last; tile++) {
    long n = tile / grid.per_image, top = tile % grid.per_image / grid.across * 4 - 1;
    long left = tile % grid.across * 4 - 1;
    int inside = top >= 0 && left >= 0 && top + 6 <= height && left + 6 <= width;
    for (long block = 0; block < blocks; block++) {
      const float *plane = x + (n * blocks + block) * height * width * 16;
      v16 columns[6][6];
      for (int j = 0; j < 6; j++) {
        v16 d[6];
        if (inside) {
          for (int i = 0; i < 6; i++) d[i] = load16(plane + ((top + i) * width + left + j) * 16);
        } else {
          for (int i = 0; i < 6; i++) {
            long row = top + i, column = left + j;
            int known = row >= 0 && row < height && column >= 0 && column < width;
            d[i] = known ? load16(plane + (row * width + column) * 16) : (v16){0};
          }
        }
        input_map(d, columns[j]);
      }
      float *out = v + (tile - first) * channels + block * 16;
      for (int i = 0; i < 6; i++) {
        v16 row[6] = {columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]}, t[6];
        input_map(row, t);
        for (int j = 0; j < 6; j++) store16(out + (i * 6 + j) * stride, t[j]);
      }
    }
  }
}

typedef struct {
  const ck_winograd *conv;
  long inputs, outputs;
  const float *x, *transformed, *bias, *residual;
  float *y, *workspace;
} forward_job;

/// y of the tiles first..<last from M[point][tile][outputs].
CK_CLONES static void transform_output(const forward_job *job, long first, long last, const float *m, long stride) {
  long height = job->conv->height, width = job->conv->width, channels = job->outputs, blocks = channels / 16;
  tile_grid grid = tiles_of(job->conv);
  for (long tile = first; tile < last; tile++) {
    long n = tile / grid.per_image, top = tile % grid.per_image / grid.across * 4, left = tile % grid.across * 4;
    long rows = min_long(4, height - top), columns = min_long(4, width - left);
    for (long block = 0; block < blocks; block++) {
      const float *in = m + (tile - first) * channels + block * 16;
      v16 half[6][4];
      for (int j = 0; j < 6; j++) {
        v16 column[6];
        for (int i = 0; i < 6; i++) column[i] = load16(in + (i * 6 + j) * stride);
        output_map(column, half[j]);
      }
      v16 bias = job->bias ? load16(job->bias + block * 16) : (v16){0};
      long corner = (((n * blocks + block) * height + top) * width + left) * 16;
      for (int i = 0; i < 4; i++) {
        v16 row[6] = {half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i]}, out[4];
        output_map(row, out);
        if (i >= rows) break;
        float *y = job->y + corner + i * width * 16;
        const float *residual = job->residual ? job->residual + corner + i * width * 16 : NULL;
        if (columns == 4) {
          for (int j = 0; j < 4; j++) {
            v16 value = out[j] + bias;
            store16(y + j * 16, residual ? value + load16(residual + j * 16) : value);
          }
        } else {
          for (int j = 0; j < columns; j++) {
            v16 value = out[j] + bias;
            store16(y + j * 16, residual ? value + load16(residual + j * 16) : value);
          }
        }
      }
    }
  }
}

static void forward_body(void *context, int thread, int threads) {
  const forward_job *job = context;
  long inputs = job->inputs, outputs = job->outputs, block = tile_block(inputs, outputs);
  long v_stride = point_stride(block, inputs), m_stride = point_stride(block, outputs);
  long u_stride = point_stride(inputs, outputs);
  float *v = job->workspace + thread * forward_workspace_per_thread(inputs, outputs), *m = v + POINTS * v_stride;
  span mine = share_of(tiles_of(job->conv).all, thread, threads);
  // Blocks of equal size, so that none is left with a few tiles.
  long count = (mine.last - mine.first + block - 1) / block;
  for (long index = 0; index < count; index++) {
    long first = mine.first + (mine.last - mine.first) * index / count;
    long last = mine.first + (mine.last - mine.first) * (index + 1) / count;
    transform_input(job->x, job->conv, inputs, first, last, v, v_stride);
    for (int point = 0; point < POINTS; point++)
      ck_gemm(
        last - first, outputs, inputs, v + point * v_stride, inputs, 1, job->transformed + point * u_stride,
        m + point * m_stride, outputs, 0);
    transform_output(job, first, last, m, m_stride);
  }
}

void ck_winograd_forward(
  const ck_winograd *conv, const float *x, const float *transformed, const float *bias, const float *residual, float *y,
  float *workspace) {
  forward_job job = {conv, conv->inputs, conv->outputs, x, transformed, bias, residual, y, workspace};
  ck_parallel(forward_body, &job);
}

void ck_winograd_backward_data(
  const ck_winograd *conv, const float *dy, const float *transformed, const float *residual, float *dx,
  float *workspace) {
  forward_job job = {conv, conv->outputs, conv->inputs, dy, transformed, NULL, residual, dx, workspace};
  ck_parallel(forward_body, &job);
}

// MARK: backward weights

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
      span rows = share_of(inputs, (int)(item % parts), (int)parts);
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
