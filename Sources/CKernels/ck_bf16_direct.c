// Convolutions as matrix products over all positions, the output pixels of all images in order: Y (positions × outputs) = X · Wᵀ, where a
// row of X holds the input pixels that its position reads, tap by tap.
#include "ck_bf16_words.h"
#include "ck_gemm.h"

#pragma clang fp contract(fast)

/// Positions taken together by one thread, and outputs whose sums it holds at a time.
enum { ROWS = 48, GROUP = 64 };

CK_INLINE long taps_of(const ck_direct *conv) { return conv->kernel * conv->kernel; }
CK_INLINE long words(long channels) { return channels / 2; }
CK_INLINE long positions_of(const ck_direct *conv) { return conv->samples * conv->out_height * conv->out_width; }

/// The convolution that computes the gradient of the input, where the stride is 1.
static ck_direct turned(const ck_direct *conv) {
  ck_direct t = *conv;
  t.inputs = conv->outputs, t.outputs = conv->inputs;
  t.height = conv->out_height, t.width = conv->out_width, t.out_height = conv->height, t.out_width = conv->width;
  t.padding = conv->kernel - 1 - conv->padding;
  return t;
}

CK_INLINE long weights_of(const ck_direct *conv) { return taps_of(conv) * conv->inputs * conv->outputs; }

size_t ck_bf16_direct_weights(const ck_direct *conv) { return (size_t)weights_of(conv) * sizeof(uint16_t); }

/// Bytes a thread uses: a group of sums of a block of positions, where their taps begin, and the positions in words.
static size_t workspace_per_thread(const ck_direct *conv) {
  size_t words_and_sums = (size_t)(ROWS * (taps_of(conv) * words(conv->inputs) + GROUP)) * sizeof(float);
  return words_and_sums + (size_t)(ROWS * taps_of(conv)) * sizeof(const float *);
}

size_t ck_bf16_direct_forward_workspace(const ck_direct *conv) {
  return (size_t)ck_threads() * workspace_per_thread(conv);
}

size_t ck_bf16_direct_backward_data_workspace(const ck_direct *conv) {
  ck_direct t = turned(conv);
  return ck_bf16_direct_forward_workspace(&t);
}

/// Rows of the gradient of the weights: an input of a tap each.
CK_INLINE long gradient_rows(const ck_direct *conv) { return taps_of(conv) * conv->inputs; }

/// Pairs of positions taken together by all threads in the gradient of the weights: about 4 MiB, in parts of equal size.
static long gradient_block(const ck_direct *conv) {
  long pairs = max_long(1, ceil_div(positions_of(conv), 2));
  long fit = max_long(64, (4L << 20) / ((long)sizeof(ck_pair_word) * (gradient_rows(conv) + conv->outputs)));
  return ceil_div(pairs, ceil_div(pairs, fit));
}

size_t ck_bf16_direct_backward_weights_workspace(const ck_direct *conv) {
  long rows = gradient_rows(conv);
  return (size_t)(gradient_block(conv) * (rows + conv->outputs) + rows * conv->outputs) * sizeof(float);
}

#if defined(__x86_64__)

// MARK: weights

/// w of the forward convolution for that of the gradient: inputs and outputs are swapped, and the filter is turned by 180°.
typedef struct {
  ck_direct conv;  ///< of the gradient
  const float *w;
  ck_pair_word *packed;
} turn_job;

/// Packs 16 inputs × 16 outputs of w.
CK_BF16 static void turn_block(const turn_job *job, long input_block, long output_block) {
  const ck_direct *conv = &job->conv;
  long taps = taps_of(conv), input_blocks = conv->inputs / 16, output_blocks = conv->outputs / 16;
  for (long tap = 0; tap < taps; tap++) {
    float other[16][16];
    transpose16(
      job->w + ((input_block * output_blocks + output_block) * taps + taps - 1 - tap) * 256, 16, other[0], 16);
    ck_pair_word *to = job->packed + ((output_block * input_blocks + input_block) * taps + tap) * 128;
    for (int pair = 0; pair < 8; pair++) {
      v16 even = load16(other[2 * pair]), odd = load16(other[2 * pair + 1]);
      store_paired(to + pair * 16, &even, &odd);
    }
  }
}

static void turn_body(void *context, int thread, int threads) {
  const turn_job *job = context;
  long input_blocks = job->conv.inputs / 16;
  span mine = share_of(input_blocks * (job->conv.outputs / 16), thread, threads);
  for (long item = mine.first; item < mine.last; item++) turn_block(job, item % input_blocks, item / input_blocks);
}

void ck_bf16_direct_pack(const ck_direct *conv, const float *w, void *packed) {
  ck_round_pairs(w, packed, weights_of(conv) / 32);
}

void ck_bf16_direct_pack_backward(const ck_direct *conv, const float *w, void *packed) {
  turn_job job = {turned(conv), w, packed};
  ck_parallel_over(weights_of(conv), turn_body, &job);
}

// MARK: forward, backward data

typedef struct {
  ck_direct conv;
  ck_parts x;
  const ck_pair_word *packed;  ///< [outputs/16][inputs/16][tap][8 pairs of inputs][16 outputs]
  const float *bias, *residual;
  float *y;
  char *workspace;
  int streams;  ///< whether y is written past the caches
} forward_job;

/// A position: its image, its row and its column.
typedef struct {
  long image, row, column;
} place;

CK_INLINE place place_of(const ck_direct *conv, long position) {
  long pixels = conv->out_height * conv->out_width, pixel = position % pixels;
  return (place){position / pixels, pixel / conv->out_width, pixel % conv->out_width};
}

/// The next position.
CK_INLINE void advance(const ck_direct *conv, place *at) {
  if (++at->column < conv->out_width) return;
  at->column = 0;
  if (++at->row < conv->out_height) return;
  at->row = 0, at->image++;
}

/// Where the first channel of a position of the output is.
CK_INLINE long corner_of(const ck_direct *conv, place at) {
  return (at.image * conv->outputs * conv->out_height + at.row * 16) * conv->out_width + at.column * 16;
}

/// Block 0 of x, of so many channels, at the input pixel that tap (i, j) of a position reads, or NULL outside the image.
CK_INLINE const float *input_at(const ck_direct *conv, const float *x, long channels, place at, long i, long j) {
  long row = at.row * conv->stride + i - conv->padding, column = at.column * conv->stride + j - conv->padding;
  if (row < 0 || row >= conv->height || column < 0 || column >= conv->width) return NULL;
  return x + (at.image * channels * conv->height + row * 16) * conv->width + column * 16;
}

/// Positions first..<last of `channels` of the inputs, x, in rows of words, [inputs/16][tap][8] each. `taps` is room for where their taps begin.
CK_BF16 static void read_part(
  const ck_direct *conv, const float *x, long channels, long first, long last, const float **taps, ck_pair_word *rows) {
  long plane = conv->height * conv->width * 16, count = taps_of(conv), depth = count * words(conv->inputs);
  const float **tap = taps;
  place at = place_of(conv, first);
  for (long position = first; position < last; position++, advance(conv, &at))
    for (long i = 0; i < conv->kernel; i++)
      for (long j = 0; j < conv->kernel; j++) *tap++ = input_at(conv, x, channels, at, i, j);
  // Plane by plane: neighbours in memory one after the other, those of the next block of positions on their way.
  for (long block = 0; block < channels / 16; block++) {
    tap = taps;
    for (ck_pair_word *row = rows; row < rows + (last - first) * depth; row += depth)
      for (long i = 0; i < count; i++, tap++) {
        v16 values = {0};
        if (*tap) {
          const float *pixel = *tap + block * plane;
          values = load16(pixel);
          __builtin_prefetch(pixel + ROWS * conv->stride * 16);
        }
        store_rounded(row + (block * count + i) * 8, &values);
      }
  }
}

static void read_rows(const forward_job *job, long first, long last, const float **taps, ck_pair_word *rows) {
  const ck_direct *conv = &job->conv;
  const ck_parts *x = &job->x;
  long channels = x->rest ? x->first : conv->inputs;
  read_part(conv, x->x, channels, first, last, taps, rows);
  if (x->rest)
    read_part(conv, x->rest, conv->inputs - channels, first, last, taps, rows + taps_of(conv) * words(channels));
}

/// Channels begin..<end of y at positions first..<last, from rows of GROUP sums.
CK_BF16 static void write_rows(const forward_job *job, long first, long last, long begin, long end, const float *sums) {
  const ck_direct *conv = &job->conv;
  long plane = conv->out_height * conv->out_width * 16, corners[ROWS], count = last - first;
  place at = place_of(conv, first);
  for (long i = 0; i < count; i++, advance(conv, &at)) corners[i] = corner_of(conv, at);
  for (long channel = begin; channel < end; channel += 16) {
    v16 bias = job->bias ? load16(job->bias + channel) : (v16){0};
    for (long i = 0; i < count; i++) {
      long to = corners[i] + channel / 16 * plane;
      v16 value = load16(sums + i * GROUP + channel - begin) + bias;
      if (job->residual) value += load16(job->residual + to);
      put(job->y + to, &value, job->streams);
    }
  }
}

static void forward_body(void *context, int thread, int threads) {
  const forward_job *job = context;
  float *sums = (float *)(job->workspace + (size_t)thread * workspace_per_thread(&job->conv));
  const float **taps = (const float **)(sums + ROWS * GROUP);
  ck_pair_word *rows = (ck_pair_word *)(taps + ROWS * taps_of(&job->conv));
  long depth = taps_of(&job->conv) * words(job->conv.inputs), outputs = job->conv.outputs;
  span mine = share_in_grains(positions_of(&job->conv), 4, thread, threads);
  for (long first = mine.first; first < mine.last; first += ROWS) {
    long last = min_long(first + ROWS, mine.last);
    read_rows(job, first, last, taps, rows);
    for (long begin = 0; begin < outputs; begin += GROUP) {
      long end = min_long(begin + GROUP, outputs);
      ck_bf16_gemm_of_blocks(last - first, end - begin, depth, rows, job->packed + begin * depth, sums, GROUP);
      write_rows(job, first, last, begin, end, sums);
    }
  }
  if (job->streams) end_of_stream();
}

static void run(forward_job job) {
  job.streams = streams(job.y, positions_of(&job.conv) * job.conv.outputs);
  ck_parallel(forward_body, &job);
}

void ck_bf16_direct_forward(
  const ck_direct *conv, const float *x, const void *packed, const float *bias, const float *residual, float *y,
  void *workspace) {
  run((forward_job){*conv, {x}, packed, bias, residual, y, workspace});
}

void ck_bf16_direct_forward_of_parts(
  const ck_direct *conv, ck_parts x, const void *packed, const float *bias, const float *residual, float *y,
  void *workspace) {
  run((forward_job){*conv, x, packed, bias, residual, y, workspace});
}

void ck_bf16_direct_backward_data(
  const ck_direct *conv, const float *dy, const void *packed, const float *residual, float *dx, void *workspace) {
  run((forward_job){turned(conv), {dy}, packed, NULL, residual, dx, workspace});
}

// MARK: backward weights

typedef struct {
  const ck_direct *conv;
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
  long plane = conv->height * conv->width * 16, out_plane = conv->out_height * conv->out_width * 16;
  long count = 2 * (last - first), rows = gradient_rows(conv), exist = min_long(count, positions_of(conv) - 2 * first);
  place at[2 * PAIRS];
  const float *from[2 * PAIRS] = {NULL};
  place next = place_of(conv, first * 2);
  for (long p = 0; p < exist; p++, advance(conv, &next)) at[p] = next;
  ck_pair_word *row = v + (first - begin) * rows;
  for (long i = 0; i < conv->kernel; i++)
    for (long j = 0; j < conv->kernel; j++) {
      for (long p = 0; p < exist; p++) from[p] = input_at(conv, job->x, conv->inputs, at[p], i, j);
      for (long block = 0; block < conv->inputs / 16; block++, row += 16)
        for (long p = 0; p < count; p += 2) pair_pixels(from[p], from[p + 1], block * plane, row + p / 2 * rows);
    }
  for (long p = 0; p < exist; p++) from[p] = job->dy + corner_of(conv, at[p]);
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
  long rows = gradient_rows(conv), outputs = conv->outputs, taps = taps_of(conv);
  long pairs = ceil_div(positions_of(conv), 2), block = gradient_block(conv);
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
  gradient_job job = {conv, x, dy, dw, workspace};
  ck_parallel(gradient_body, &job);
}
#else
void ck_bf16_direct_pack(const ck_direct *conv, const float *w, void *packed) {}
void ck_bf16_direct_pack_backward(const ck_direct *conv, const float *w, void *packed) {}
void ck_bf16_direct_forward(
  const ck_direct *conv, const float *x, const void *packed, const float *bias, const float *residual, float *y,
  void *workspace) {}
void ck_bf16_direct_forward_of_parts(
  const ck_direct *conv, ck_parts x, const void *packed, const float *bias, const float *residual, float *y,
  void *workspace) {}
void ck_bf16_direct_backward_data(
  const ck_direct *conv, const float *dy, const void *packed, const float *residual, float *dx, void *workspace) {}
void ck_bf16_direct_backward_weights(
  const ck_direct *conv, const float *x, const float *dy, float *dw, void *workspace) {}
#endif
