#include "ck_direct_pass.h"
#include "ck_gemm.h"

// MARK: operands

/// Of a blocked source. So many floats on is what the next run reads, where none has yet, or 0.
CK_INLINE void copy_blocks(span inside, long count, const float *from, long step, long ahead, float *x, long row) {
  v16 zero = {0};
  for (long i = 0; i < inside.first; i++) store16(x + i * row, zero);
  for (long i = inside.first; i < inside.last; i++) {
    store16(x + i * row, load16(from + i * step));
    if (ahead) __builtin_prefetch(from + i * step + ahead);
  }
  for (long i = inside.last; i < count; i++) store16(x + i * row, zero);
}

/// Of a plain one.
CK_INLINE void copy_floats(span inside, long count, const float *from, long step, float *x, long row) {
  for (long i = 0; i < inside.first; i++) x[i * row] = 0;
  if (row == 1 && step == 1)
    memcpy(x + inside.first, from + inside.first, (size_t)(inside.last - inside.first) * sizeof *x);
  else
    for (long i = inside.first; i < inside.last; i++) x[i * row] = from[i * step];
  for (long i = inside.last; i < count; i++) x[i * row] = 0;
}

CK_CLONES static void read_floats(
  const lattice *l, const float *from, long channels, span of, span those, void *x, long row, long column) {
  long lanes = fills_blocks(channels) ? 16 : 1, taps = taps_of(l), plane = l->height * l->width;
  run r;
  for (float *to = x; those.first < those.last; those.first += r.count, to += r.count * row) {
    r = run_of(l, those);
    for (long tap = 0; tap < taps; tap++) {
      long a = tap / l->tap_columns, b = tap % l->tap_columns;
      span in = inside(l, r, a, b);
      const float *pixels = from + tap_offset(l, channels, r.at, a, b) + of.first * plane;
      float *at = to + tap * lanes * column;
      int is_new = a >= l->tap_rows - l->step && b >= l->tap_columns - l->step;
      long ahead = is_new ? l->step * l->width * 16 : 0;
      for (long channel = of.first; channel < of.last; channel += lanes) {
        if (lanes == 16)
          copy_blocks(in, r.count, pixels, l->step * 16, ahead, at, row);
        else
          copy_floats(in, r.count, pixels, l->step, at, row);
        pixels += lanes * plane, at += lanes * taps * column;
      }
    }
  }
}

const ck_operands ck_float_operands = {sizeof(float), 1, read_floats, ck_gemm_of_blocks};

// MARK: weights

/// Where w has output o, input i and tap t.
CK_INLINE long weight_at(const ck_direct *conv, long o, long i, long t) {
  long taps = conv->kernel_height * conv->kernel_width;
  if (fills_blocks(conv->outputs) && fills_blocks(conv->inputs))
    return ((o / 16 * (conv->inputs / 16) + i / 16) * taps + t) * 256 + i % 16 * 16 + o % 16;
  return (o * conv->inputs + i) * taps + t;
}

typedef struct {
  const ck_direct *conv;
  lattice l;
  int backward;  ///< the results are w's inputs
  const float *w;
  float *packed;
} pack_job;

/// Weights of a lattice in blocks of 16 results, the last filled up with zeros.
CK_CLONES static void pack_blocks(const pack_job *job, span blocks) {
  const ck_direct *conv = job->conv;
  const lattice *l = &job->l;
  long lanes = fills_blocks(l->channels) ? 16 : 1;
  float *to = job->packed + blocks.first * 16 * depth_of(l);
  for (long block = blocks.first * 16; block < blocks.last * 16; block += 16)
    for (long group = 0; group < l->channels; group += lanes)
      for (long tap = 0; tap < taps_of(l); tap++) {
        long t = kernel_tap(l, conv->kernel_width, tap);
        if (job->backward && lanes == 16 && fills_blocks(l->results)) {
          transpose16(job->w + weight_at(conv, group, block, t), 16, to, 16);
          to += 256;
          continue;
        }
        for (long channel = group; channel < group + lanes; channel++)
          for (long result = block; result < block + 16; result++)
            *to++ = result >= l->results ? 0
                    : job->backward      ? job->w[weight_at(conv, channel, result, t)]
                                         : job->w[weight_at(conv, result, channel, t)];
      }
}

static void pack_body(void *context, int thread, int threads) {
  const pack_job *job = context;
  pack_blocks(job, share_of(ceil_div(job->l.results, 16), thread, threads));
}

long ck_direct_forward_weights(const ck_direct *conv) {
  lattice l = forward_lattice(conv);
  return fills_blocks(conv->inputs) && fills_blocks(conv->outputs) ? 0 : round_up(l.results, 16) * depth_of(&l);
}

long ck_direct_backward_data_weights(const ck_direct *conv) {
  return round_up(conv->inputs, 16) * conv->outputs * conv->kernel_height * conv->kernel_width;
}

void ck_direct_pack(const ck_direct *conv, const float *w, float *packed) {
  pack_job job = {conv, forward_lattice(conv), 0, w, packed};
  ck_parallel_over(ck_direct_forward_weights(conv), pack_body, &job);
}

void ck_direct_pack_backward(const ck_direct *conv, const float *w, float *packed) {
  for (long row = 0; row < conv->stride; row++)
    for (long column = 0; column < conv->stride; column++) {
      pack_job job = {conv, backward_lattice(conv, row, column), 1, w, packed};
      long count = round_up(job.l.results, 16) * depth_of(&job.l);
      ck_parallel_over(count, pack_body, &job);
      packed += count;
    }
}

// MARK: passes

long ck_direct_forward_workspace(const ck_direct *conv) {
  return (long)(ck_direct_pass_workspace(&ck_float_operands, conv, 0) / sizeof(float));
}

long ck_direct_backward_data_workspace(const ck_direct *conv) {
  return (long)(ck_direct_pass_workspace(&ck_float_operands, conv, 1) / sizeof(float));
}

void ck_direct_forward(
  const ck_direct *conv, ck_parts x, const float *weights, const float *bias, const float *residual, float *y,
  float *workspace) {
  ck_run_direct_pass(&(ck_direct_pass){&ck_float_operands, conv, 0, x, weights, bias, residual, y, workspace});
}

void ck_direct_backward_data(
  const ck_direct *conv, const float *dy, const float *weights, const float *residual, float *dx, float *workspace) {
  ck_run_direct_pass(&(ck_direct_pass){&ck_float_operands, conv, 1, {dy}, weights, NULL, residual, dx, workspace});
}
