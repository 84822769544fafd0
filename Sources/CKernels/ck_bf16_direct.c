#include "ck_bf16_words.h"
#include "ck_direct_pass.h"
#include "ck_gemm.h"

#pragma clang fp contract(fast)

CK_INLINE long words(long channels) { return channels / 2; }
CK_INLINE long weights_of(const ck_direct *conv) {
  return conv->kernel_height * conv->kernel_width * conv->inputs * conv->outputs;
}

size_t ck_bf16_direct_weights(const ck_direct *conv) { return (size_t)weights_of(conv) * sizeof(uint16_t); }

/// Rows of the gradient of the weights: an input of a tap each.
CK_INLINE long gradient_rows(const ck_direct *conv) { return conv->kernel_height * conv->kernel_width * conv->inputs; }

/// Pairs of positions taken together by all threads in the gradient of the weights: about 4 MiB, in parts of equal size.
static long gradient_block(const ck_direct *conv) {
  lattice l = forward_lattice(conv);
  long pairs = max_long(1, ceil_div(positions_of(&l), 2));
  long fit = max_long(64, (4L << 20) / ((long)sizeof(ck_pair_word) * (gradient_rows(conv) + conv->outputs)));
  return ceil_div(pairs, ceil_div(pairs, fit));
}

size_t ck_bf16_direct_backward_weights_workspace(const ck_direct *conv) {
  long rows = gradient_rows(conv);
  return (size_t)(gradient_block(conv) * (rows + conv->outputs) + rows * conv->outputs) * sizeof(float);
}

#if defined(__x86_64__)

// MARK: operands

CK_BF16 static void read_rounded(
  const lattice *l, const float *from, long channels, span of, span those, void *x, long row, long column) {
  (void)column;
  long taps = taps_of(l), plane = l->height * l->width;
  run r;
  for (uint16_t *to = x; those.first < those.last; those.first += r.count, to += r.count * row) {
    r = run_of(l, those);
    for (long tap = 0; tap < taps; tap++) {
      long a = tap / l->tap_columns, b = tap % l->tap_columns;
      span in = inside(l, r, a, b);
      const float *pixels = from + tap_offset(l, channels, r.at, a, b) + of.first * plane;
      uint16_t *at = to + tap * 16;
      for (long channel = of.first; channel < of.last; channel += 16, pixels += 16 * plane, at += 16 * taps)
        for (long i = 0; i < r.count; i++) {
          v16 values = {0};
          if (i >= in.first && i < in.last) {
            const float *pixel = pixels + i * l->step * 16;
            values = load16(pixel);
            // Those of the next positions.
            if (taps == 1) __builtin_prefetch(pixel + CK_POSITIONS * l->step * 16);
          }
          store_rounded(at + i * row, &values);
        }
    }
  }
}

static const ck_operands rounded = {sizeof(uint16_t), 0, read_rounded, ck_bf16_gemm_of_blocks};

size_t ck_bf16_direct_forward_workspace(const ck_direct *conv) { return ck_direct_pass_workspace(&rounded, conv, 0); }

size_t ck_bf16_direct_backward_data_workspace(const ck_direct *conv) {
  return ck_direct_pass_workspace(&rounded, conv, 1);
}

// MARK: weights

/// w of the forward convolution for the gradient: inputs and outputs are swapped, and the filter is turned by 180°.
typedef struct {
  const ck_direct *conv;
  const float *w;
  ck_pair_word *packed;
} turn_job;

/// Packs 16 results × 16 channels of a lattice.
CK_BF16 static void turn_block(const turn_job *job, const lattice *l, long result_block, long block, ck_pair_word *packed) {
  long taps = taps_of(l), blocks = l->channels / 16, width = job->conv->kernel_width;
  const float *w = job->w + (block * (l->results / 16) + result_block) * job->conv->kernel_height * width * 256;
  for (long tap = 0; tap < taps; tap++) {
    float other[16][16];
    transpose16(w + kernel_tap(l, width, tap) * 256, 16, other[0], 16);
    ck_pair_word *to = packed + ((result_block * blocks + block) * taps + tap) * 128;
    for (int pair = 0; pair < 8; pair++) {
      v16 even = load16(other[2 * pair]), odd = load16(other[2 * pair + 1]);
      store_paired(to + pair * 16, &even, &odd);
    }
  }
}

static void turn_body(void *context, int thread, int threads) {
  const turn_job *job = context;
  long results = job->conv->inputs / 16;
  span mine = share_of(results * (job->conv->outputs / 16), thread, threads);
  ck_pair_word *packed = job->packed;
  for (long row = 0; row < job->conv->stride; row++)
    for (long column = 0; column < job->conv->stride; column++) {
      lattice l = backward_lattice(job->conv, row, column);
      for (long item = mine.first; item < mine.last; item++) turn_block(job, &l, item % results, item / results, packed);
      packed += words(l.results * depth_of(&l));
    }
}

void ck_bf16_direct_pack(const ck_direct *conv, const float *w, void *packed) {
  ck_round_pairs(w, packed, weights_of(conv) / 32);
}

void ck_bf16_direct_pack_backward(const ck_direct *conv, const float *w, void *packed) {
  turn_job job = {conv, w, packed};
  ck_parallel_over(weights_of(conv), turn_body, &job);
}

// MARK: passes

void ck_bf16_direct_forward(
  const ck_direct *conv, ck_parts x, const void *packed, const float *bias, const float *residual, float *y,
  void *workspace) {
  ck_run_direct_pass(&(ck_direct_pass){&rounded, conv, 0, x, packed, bias, residual, y, workspace});
}

void ck_bf16_direct_backward_data(
  const ck_direct *conv, const float *dy, const void *packed, const float *residual, float *dx, void *workspace) {
  ck_run_direct_pass(&(ck_direct_pass){&rounded, conv, 1, {dy}, packed, NULL, residual, dx, workspace});
}

// MARK: backward weights

typedef struct {
  const ck_direct *conv;
  lattice l;
  const float *x, *dy;
  float *dw;
  char *workspace;
} gradient_job;

/// Words of one block of channels at two positions; a position that is NULL is zero.
CK_BF16_INLINE void pair_pixels(const float *even, const float *odd, long offset, ck_pair_word *out) {
  v16 values[2] = {{0}, {0}};
  if (even) values[0] = load16(even + offset);
  if (odd) values[1] = load16(odd + offset);
  store_paired(out, &values[0], &values[1]);
}

/// Pairs of positions that are read plane by plane together.
enum { PAIRS = 48 };

/// Pairs first..<last of x in rows of words, tap by tap, and of dy packed for ck_bf16_gemm with `depth` rows; pair `begin` is row 0. At most
/// PAIRS, so that neighbours in memory are read one after the other.
CK_BF16 static void read_some_pairs(
  const gradient_job *job, long begin, long first, long last, long depth, ck_pair_word *v, ck_pair_word *d) {
  const ck_direct *conv = job->conv;
  const lattice *l = &job->l;
  long plane = conv->height * conv->width * 16, out_plane = conv->out_height * conv->out_width * 16;
  long count = 2 * (last - first), rows = gradient_rows(conv), exist = min_long(count, positions_of(l) - 2 * first);
  place at[2 * PAIRS];
  const float *from[2 * PAIRS] = {NULL};
  place next = place_of(l, first * 2);
  for (long p = 0; p < exist; p++, advance(l, &next)) at[p] = next;
  ck_pair_word *row = v + (first - begin) * rows;
  for (long i = 0; i < conv->kernel_height; i++)
    for (long j = 0; j < conv->kernel_width; j++) {
      for (long p = 0; p < exist; p++) {
        span in = inside(l, (run){at[p], 1}, i, j);
        from[p] = in.first < in.last ? job->x + tap_offset(l, conv->inputs, at[p], i, j) : NULL;
      }
      for (long block = 0; block < conv->inputs / 16; block++, row += 16)
        for (long p = 0; p < count; p += 2) pair_pixels(from[p], from[p + 1], block * plane, row + p / 2 * rows);
    }
  for (long p = 0; p < exist; p++) from[p] = job->dy + corner_of(l, at[p]);
  for (long block = 0; block < conv->outputs / 16; block++) {
    long panel = block / 2, width = panel_width(panel, conv->outputs);
    ck_pair_word *to = d + panel_offset(panel, depth) + (first - begin) * width + block % 2 * 16;
    for (long p = 0; p < count; p += 2, to += width) pair_pixels(from[p], from[p + 1], block * out_plane, to);
  }
}

static void read_pairs(
  const gradient_job *job, long begin, long first, long last, long depth, ck_pair_word *v, ck_pair_word *d) {
  for (; first < last; first += PAIRS) read_some_pairs(job, begin, first, min_long(first + PAIRS, last), depth, v, d);
}

static void gradient_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const ck_direct *conv = job->conv;
  long rows = gradient_rows(conv), outputs = conv->outputs, taps = taps_of(&job->l);
  long pairs = ceil_div(positions_of(&job->l), 2), block = gradient_block(conv);
  float *sums = (float *)job->workspace;
  ck_pair_word *v = (ck_pair_word *)(sums + rows * outputs), *d = v + block * rows;
  // A thread's products: panels of outputs × runs of rows.
  long panels = ceil_div(outputs, CK_PANEL), run = rows * panels >= 96 * threads ? 48 : 16, runs = ceil_div(rows, run);
  span products = share_of(panels * runs, thread, threads);
  for (long begin = 0; begin < pairs; begin += block) {
    long depth = min_long(block, pairs - begin);
    span mine = share_of(depth, thread, threads);
    read_pairs(job, begin, begin + mine.first, begin + mine.last, depth, v, d);
    ck_barrier();
    for (long item = products.first; item < products.last; item++) {
      long panel = item / runs, first = item % runs * run;
      ck_bf16_gemm(
        min_long(run, rows - first), panel_width(panel, outputs), depth, v + first, 1, rows,
        d + panel_offset(panel, depth), sums + first * outputs + panel * CK_PANEL, outputs, begin > 0);
    }
    ck_barrier();
  }
  // [tap][inputs][outputs] to OIhw16i16o.
  long input_blocks = conv->inputs / 16;
  span mine = share_of(input_blocks * (outputs / 16) * taps, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long tap = item % taps, input = item / taps % input_blocks * 16, output = item / taps / input_blocks * 16;
    const float *from = sums + (tap * conv->inputs + input) * outputs + output;
    for (int i = 0; i < 16; i++) memcpy(job->dw + item * 256 + i * 16, from + i * outputs, 64);
  }
}

void ck_bf16_direct_backward_weights(
  const ck_direct *conv, const float *x, const float *dy, float *dw, void *workspace) {
  gradient_job job = {conv, forward_lattice(conv), x, dy, dw, workspace};
  ck_parallel(gradient_body, &job);
}
#else
size_t ck_bf16_direct_forward_workspace(const ck_direct *conv) { return 0; }
size_t ck_bf16_direct_backward_data_workspace(const ck_direct *conv) { return 0; }
void ck_bf16_direct_pack(const ck_direct *conv, const float *w, void *packed) {}
void ck_bf16_direct_pack_backward(const ck_direct *conv, const float *w, void *packed) {}
void ck_bf16_direct_forward(
  const ck_direct *conv, ck_parts x, const void *packed, const float *bias, const float *residual, float *y,
  void *workspace) {}
void ck_bf16_direct_backward_data(
  const ck_direct *conv, const float *dy, const void *packed, const float *residual, float *dx, void *workspace) {}
void ck_bf16_direct_backward_weights(
  const ck_direct *conv, const float *x, const float *dy, float *dw, void *workspace) {}
#endif
