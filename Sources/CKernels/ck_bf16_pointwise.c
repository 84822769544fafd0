// 1×1 convolutions as matrix products over all positions, the pixels of all images in order: Y (positions × outputs) = X · Wᵀ.
#include "ck_bf16_words.h"
#include "ck_gemm.h"

#pragma clang fp contract(fast)

/// Positions taken together by one thread, and outputs whose sums it holds at a time.
enum { ROWS = 48, GROUP = 64 };

CK_INLINE long words(long channels) { return channels / 2; }

size_t ck_bf16_pointwise_weights(const ck_pointwise *conv) {
  return (size_t)(words(conv->inputs) * conv->outputs) * sizeof(ck_pair_word);
}

/// Bytes a thread uses: a block of positions in words, and a group of their sums.
static size_t workspace_per_thread(long inputs) { return (size_t)(ROWS * (words(inputs) + GROUP)) * sizeof(float); }

size_t ck_bf16_pointwise_forward_workspace(const ck_pointwise *conv) {
  return (size_t)ck_threads() * workspace_per_thread(conv->inputs);
}

size_t ck_bf16_pointwise_backward_data_workspace(const ck_pointwise *conv) {
  return (size_t)ck_threads() * workspace_per_thread(conv->outputs);
}

/// Pairs of positions taken together by all threads in the gradient of the weights: about 4 MiB, in parts of equal size.
static long gradient_block(const ck_pointwise *conv) {
  long pairs = max_long(1, ceil_div(conv->samples * conv->pixels, 2));
  long fit = max_long(64, (4L << 20) / ((long)sizeof(ck_pair_word) * (conv->inputs + conv->outputs)));
  return ceil_div(pairs, ceil_div(pairs, fit));
}

size_t ck_bf16_pointwise_backward_weights_workspace(const ck_pointwise *conv) {
  return (size_t)(gradient_block(conv) * (conv->inputs + conv->outputs) + conv->inputs * conv->outputs) * sizeof(float);
}

#if defined(__x86_64__)

// MARK: weights

/// Packs w (OIhw16i16o) for ck_bf16_gemm with words(inputs) rows. Where `backward`, w is of the forward convolution.
CK_BF16 static void pack(const float *w, ck_pair_word *packed, long inputs, long outputs, int backward) {
  long input_blocks = inputs / 16, output_blocks = outputs / 16;
  for (long output_block = 0; output_block < output_blocks; output_block++)
    for (long input_block = 0; input_block < input_blocks; input_block++) {
      float turned[16][16];
      const float *from = w + (output_block * input_blocks + input_block) * 256;
      if (backward) {
        transpose16(w + (input_block * output_blocks + output_block) * 256, 16, turned[0], 16);
        from = turned[0];
      }
      long panel = output_block / 2, width = panel_width(panel, outputs);
      ck_pair_word *to = packed + panel_offset(panel, words(inputs)) + input_block * 8 * width + output_block % 2 * 16;
      for (int pair = 0; pair < 8; pair++) {
        v16 even = load16(from + pair * 32), odd = load16(from + pair * 32 + 16);
        store_paired(to + pair * width, &even, &odd);
      }
    }
}

void ck_bf16_pointwise_pack(const ck_pointwise *conv, const float *w, void *packed) {
  pack(w, packed, conv->inputs, conv->outputs, 0);
}

void ck_bf16_pointwise_pack_backward(const ck_pointwise *conv, const float *w, void *packed) {
  pack(w, packed, conv->outputs, conv->inputs, 1);
}

// MARK: forward, backward data

typedef struct {
  long positions, pixels, inputs, outputs;
  const float *x;
  const ck_pair_word *packed;
  const float *bias, *residual;
  float *y;
  char *workspace;
} forward_job;

/// Where position `position` of a blocked tensor of `channels` channels lies; its next block is pixels·16 floats on.
CK_INLINE long place_of(long position, long pixels, long channels) {
  return position / pixels * channels * pixels + position % pixels * 16;
}

/// Positions first..<last of x in rows of words.
CK_BF16 static void read_rows(const forward_job *job, long first, long last, ck_pair_word *rows) {
  for (long position = first; position < last; position++, rows += words(job->inputs)) {
    const float *x = job->x + place_of(position, job->pixels, job->inputs);
    for (long block = 0; block < job->inputs / 16; block++) {
      v16 values = load16(x + block * job->pixels * 16);
      store_rounded(rows + block * 8, &values);
    }
  }
}

/// Channels begin..<end of y at positions first..<last, from rows of GROUP sums.
CK_BF16 static void write_rows(const forward_job *job, long first, long last, long begin, long end, const float *sums) {
  for (long channel = begin; channel < end; channel += 16) {
    v16 bias = job->bias ? load16(job->bias + channel) : (v16){0};
    for (long position = first; position < last; position++) {
      long at = place_of(position, job->pixels, job->outputs) + channel * job->pixels;
      v16 value = load16(sums + (position - first) * GROUP + channel - begin) + bias;
      store16(job->y + at, job->residual ? value + load16(job->residual + at) : value);
    }
  }
}

static void forward_body(void *context, int thread, int threads) {
  const forward_job *job = context;
  float *sums = (float *)(job->workspace + (size_t)thread * workspace_per_thread(job->inputs));
  ck_pair_word *rows = (ck_pair_word *)(sums + ROWS * GROUP);
  long depth = words(job->inputs);
  span mine = share_in_grains(job->positions, 4, thread, threads);
  for (long first = mine.first; first < mine.last; first += ROWS) {
    long last = min_long(first + ROWS, mine.last);
    read_rows(job, first, last, rows);
    for (long begin = 0; begin < job->outputs; begin += GROUP) {
      long end = min_long(begin + GROUP, job->outputs);
      ck_bf16_gemm(last - first, end - begin, depth, rows, depth, 1, job->packed + begin * depth, sums, GROUP, 0);
      write_rows(job, first, last, begin, end, sums);
    }
  }
}

void ck_bf16_pointwise_forward(
  const ck_pointwise *conv, const float *x, const void *packed, const float *bias, const float *residual, float *y,
  void *workspace) {
  forward_job job = {
    conv->samples * conv->pixels, conv->pixels, conv->inputs, conv->outputs, x, packed, bias, residual, y, workspace};
  ck_parallel(forward_body, &job);
}

void ck_bf16_pointwise_backward_data(
  const ck_pointwise *conv, const float *dy, const void *packed, const float *residual, float *dx, void *workspace) {
  forward_job job = {
    conv->samples * conv->pixels, conv->pixels, conv->outputs, conv->inputs, dy, packed, NULL, residual, dx, workspace};
  ck_parallel(forward_body, &job);
}

// MARK: backward weights

typedef struct {
  const ck_pointwise *conv;
  const float *x, *dy;
  float *dw;
  char *workspace;
} gradient_job;

/// Positions 2·pair and 2·pair + 1 of one block of channels, in words; a position beyond the last is zero.
CK_BF16_INLINE void read_pair(const ck_pointwise *conv, const float *x, long channels, long block, long pair, ck_pair_word *out) {
  long position = pair * 2, next = position + 1;
  v16 even = load16(x + place_of(position, conv->pixels, channels) + block * conv->pixels * 16), odd = {0};
  if (next < conv->samples * conv->pixels)
    odd = load16(x + place_of(next, conv->pixels, channels) + block * conv->pixels * 16);
  store_paired(out, &even, &odd);
}

/// Pairs first..<last of x in rows of `inputs` words, and of dy packed for ck_bf16_gemm with `depth` rows; pair `begin` is row 0.
CK_BF16 static void read_pairs(
  const gradient_job *job, long begin, long first, long last, long depth, ck_pair_word *v, ck_pair_word *d) {
  const ck_pointwise *conv = job->conv;
  for (long block = 0; block < conv->inputs / 16; block++)
    for (long pair = first; pair < last; pair++)
      read_pair(conv, job->x, conv->inputs, block, pair, v + (pair - begin) * conv->inputs + block * 16);
  for (long block = 0; block < conv->outputs / 16; block++) {
    long panel = block / 2, width = panel_width(panel, conv->outputs);
    ck_pair_word *to = d + panel_offset(panel, depth) + block % 2 * 16;
    for (long pair = first; pair < last; pair++)
      read_pair(conv, job->dy, conv->outputs, block, pair, to + (pair - begin) * width);
  }
}

static void gradient_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const ck_pointwise *conv = job->conv;
  long inputs = conv->inputs, outputs = conv->outputs;
  long pairs = ceil_div(conv->samples * conv->pixels, 2), block = gradient_block(conv);
  float *sums = (float *)job->workspace;
  ck_pair_word *v = (ck_pair_word *)(sums + inputs * outputs), *d = v + block * inputs;
  // A thread's products: panels of outputs × runs of inputs.
  long panels = ceil_div(outputs, CK_PANEL), run = inputs * panels >= 96 * threads ? 48 : 16, runs = ceil_div(inputs, run);
  span products = share_of(panels * runs, thread, threads);
  for (long begin = 0; begin < pairs; begin += block) {
    long depth = min_long(block, pairs - begin);
    span mine = share_of(depth, thread, threads);
    read_pairs(job, begin, begin + mine.first, begin + mine.last, depth, v, d);
    ck_barrier();
    for (long item = products.first; item < products.last; item++) {
      long panel = item / runs, first = item % runs * run;
      ck_bf16_gemm(
        min_long(run, inputs - first), panel_width(panel, outputs), depth, v + first, 1, inputs,
        d + panel_offset(panel, depth), sums + first * outputs + panel * CK_PANEL, outputs, begin > 0);
    }
    ck_barrier();
  }
  // [inputs][outputs] to OIhw16i16o.
  long input_blocks = inputs / 16;
  span mine = share_of(input_blocks * (outputs / 16), thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    const float *from = sums + item % input_blocks * 16 * outputs + item / input_blocks * 16;
    for (int input = 0; input < 16; input++) memcpy(job->dw + item * 256 + input * 16, from + input * outputs, 64);
  }
}

void ck_bf16_pointwise_backward_weights(
  const ck_pointwise *conv, const float *x, const float *dy, float *dw, void *workspace) {
  gradient_job job = {conv, x, dy, dw, workspace};
  ck_parallel(gradient_body, &job);
}
#else
void ck_bf16_pointwise_pack(const ck_pointwise *conv, const float *w, void *packed) {}
void ck_bf16_pointwise_pack_backward(const ck_pointwise *conv, const float *w, void *packed) {}
void ck_bf16_pointwise_forward(
  const ck_pointwise *conv, const float *x, const void *packed, const float *bias, const float *residual, float *y,
  void *workspace) {}
void ck_bf16_pointwise_backward_data(
  const ck_pointwise *conv, const float *dy, const void *packed, const float *residual, float *dx, void *workspace) {}
void ck_bf16_pointwise_backward_weights(
  const ck_pointwise *conv, const float *x, const float *dy, float *dw, void *workspace) {}
#endif
