#include "CKernels.h"
#include "ck_gemm.h"

#pragma clang fp contract(fast)

// The score matrix is made a block of query rows at a time. Forward: S = scale·Q Kᵀ, P = softmax(S), O = P V. Backward
// recomputes P from the saved log Σ exp:
//   dV = Pᵀ dO     dP = dO Vᵀ     dS = P ⊙ (dP − D), D_i = Σ_c dO_ic·O_ic     dQ = scale·dS K     dK = scale·dSᵀ Q
// Both layouts are packed, 16 × 16 tiles at a time, into the panels that ck_gemm wants; that costs L·C against the
// products' L²·C.

// MARK: softmax

/// The largest of n floats. NaN may be passed over: exp_row then makes the whole row NaN.
CK_INLINE float row_max(const float *x, long n) {
  if (n < 16) {
    float largest = x[0];
    for (long i = 1; i < n; i++) largest = largest > x[i] ? largest : x[i];
    return largest;
  }
  v16 most = load16(x);
  for (long i = 16; i < n; i += 16) {
    // The last vector overlaps the one before it.
    v16 next = load16(x + min_long(i, n - 16));
    most = select16(most > next, most, next);
  }
  float lanes[16];
  store16(lanes, most);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
}

/// y = exp(scale·(x − shift)) over a row, the exponent not far above zero; returns the sum.
CK_INLINE float exp_row(const float *x, float *y, long n, float scale, float shift) {
  v16 total = {0};
  long i = 0;
  for (; i + 16 <= n; i += 16) {
    v16 e = (load16(x + i) - shift) * scale;
    exp_bounded_in_place(&e);
    store16(y + i, e);
    total += e;
  }
  if (i < n) {
    v16 rest;
    load_part(&rest, x + i, n - i, -INFINITY);
    rest = (rest - shift) * scale;
    exp_bounded_in_place(&rest);
    store_part(y + i, n - i, &rest);
    for (int lane = 0; lane < n - i; lane++) total[lane] += rest[lane];
  }
  return sum16(&total);
}

/// softmax of scale·x is that of its largest: exp(scale·x − max scale·x), so a negative scale looks for the least x.
CK_CLONES static void softmax_rows(const float *x, float *y, long rows, long n, float scale) {
  for (long r = 0; r < rows; r++, x += n, y += n) {
    float extreme = row_max(x, n);
    if (scale < 0) {
      extreme = x[0];
      for (long i = 1; i < n; i++) extreme = extreme < x[i] ? extreme : x[i];
    }
    float factor = 1.f / exp_row(x, y, n, scale, extreme);
    for (long i = 0; i < n; i++) y[i] *= factor;
  }
}

CK_CLONES static void softmax_backward_rows(
  const float *dy, const float *y, float *dx, long rows, long n, float scale) {
  for (long r = 0; r < rows; r++, dy += n, y += n, dx += n) {
    v16 sums = {0};
    long i = 0;
    for (; i + 16 <= n; i += 16) sums += load16(dy + i) * load16(y + i);
    float mean = sum16(&sums);
    for (; i < n; i++) mean += dy[i] * y[i];
    for (i = 0; i < n; i++) dx[i] = scale * y[i] * (dy[i] - mean);
  }
}

typedef struct {
  const float *x, *dy;
  float *y;
  long rows, n;
  float scale;
} softmax_job;

static void softmax_body(void *context, int thread, int threads) {
  const softmax_job *job = context;
  span mine = share_of(job->rows, thread, threads);
  long at = mine.first * job->n, rows = mine.last - mine.first;
  if (job->dy)
    softmax_backward_rows(job->dy + at, job->x + at, job->y + at, rows, job->n, job->scale);
  else
    softmax_rows(job->x + at, job->y + at, rows, job->n, job->scale);
}

void ck_softmax(const float *x, float *y, long rows, long n, float scale) {
  if (n == 0) return;
  softmax_job job = {.x = x, .y = y, .rows = rows, .n = n, .scale = scale};
  ck_parallel(softmax_body, &job);
}

void ck_softmax_backward(const float *dy, const float *y, float *dx, long rows, long n, float scale) {
  softmax_job job = {.x = y, .dy = dy, .y = dx, .rows = rows, .n = n, .scale = scale};
  ck_parallel(softmax_body, &job);
}

// MARK: one head of a tensor, as a matrix of positions × channels

typedef struct {
  float *base;     ///< the sample's
  long first;      ///< its first channel
  long channels, length;
  ck_format format;
  int whole;       ///< blocked, and made of whole blocks
} head;

static head head_of(const ck_attention *attention, const float *x, long stride, long length, long item) {
  long channels = attention->head_channels, all = attention->heads * channels;
  long first = item % attention->heads * channels;
  int is_blocked = attention->format == CK_BLOCKED;
  if (stride == 0) stride = (is_blocked ? round_up(all, 16) : all) * length;
  return (head){
    (float *)x + item / attention->heads * stride, first, channels, length, attention->format,
    is_blocked && channels % 16 == 0};
}

/// A run of neighbouring channels of a blocked head: `count` floats at position 0 of `at`, 16 floats a position.
typedef struct {
  float *at;
  long count;
} run;

/// The channels of a blocked head from c on, up to `limit` of them, as far as they stand in one block.
CK_INLINE run run_of(const head *h, long c, long limit) {
  long channel = h->first + c;
  return (run){h->base + channel / 16 * 16 * h->length + channel % 16, min_long(limit, 16 - channel % 16)};
}

/// Copies `positions` × `channels` of a blocked head that shares its blocks with others, out of it or (`put`) into it;
/// tile [16][16].
CK_INLINE void move_shared(const head *h, long c0, long i0, long channels, long positions, float *tile, int put) {
  for (long c = 0; c < channels;) {
    run r = run_of(h, c0 + c, channels - c);
    for (long i = 0; i < positions; i++) {
      float *outside = r.at + (i0 + i) * 16, *inside = tile + i * 16 + c;
      if (put)
        memcpy(outside, inside, (size_t)r.count * sizeof(float));
      else
        memcpy(inside, outside, (size_t)r.count * sizeof(float));
    }
    c += r.count;
  }
}

/// out[c][i], 16 channels from c0 (those that exist) × 16 positions from i0 (zero beyond the last).
CK_INLINE void tile_by_channel(const head *h, long c0, long i0, float *out, long out_row) {
  long channels = min_long(16, h->channels - c0), positions = min_long(16, h->length - i0);
  if (h->format == CK_PLAIN) {
    for (long c = 0; c < channels; c++) {
      const float *in = h->base + (h->first + c0 + c) * h->length + i0;
      v16 values;
      if (positions == 16)
        values = load16(in);
      else
        load_part(&values, in, positions, 0);
      store16(out + c * out_row, values);
    }
    return;
  }
  if (h->whole && positions == 16) return transpose16(run_of(h, c0, 16).at + i0 * 16, 16, out, out_row);
  float tile[16][16], turned[16][16];
  memset(tile, 0, sizeof tile);
  move_shared(h, c0, i0, channels, positions, tile[0], 0);
  transpose16(tile[0], 16, turned[0], 16);
  for (long c = 0; c < channels; c++) store16(out + c * out_row, load16(turned[c]));
}

/// out[i][c], 16 positions from i0 (those that exist) × 16 channels from c0 (zero beyond the last), times `scale`.
CK_INLINE void tile_by_position(const head *h, long c0, long i0, float scale, float *out, long out_row) {
  long channels = min_long(16, h->channels - c0), positions = min_long(16, h->length - i0);
  if (h->whole) {
    const float *in = run_of(h, c0, 16).at + i0 * 16;
    for (long i = 0; i < positions; i++) store16(out + i * out_row, load16(in + i * 16) * scale);
    return;
  }
  float tile[16][16], turned[16][16], *rows = tile[0];
  memset(tile, 0, sizeof tile);
  if (h->format == CK_PLAIN) {
    tile_by_channel(h, c0, i0, tile[0], 16);
    transpose16(tile[0], 16, turned[0], 16);
    rows = turned[0];
  } else {
    move_shared(h, c0, i0, channels, positions, tile[0], 0);
  }
  for (long i = 0; i < positions; i++) store16(out + i * out_row, load16(rows + i * 16) * scale);
}

/// The inverse: the head's tile from in[i][c].
CK_INLINE void put_tile(const head *h, long c0, long i0, const float *in, long in_row) {
  long channels = min_long(16, h->channels - c0), positions = min_long(16, h->length - i0);
  if (h->whole) {
    float *out = run_of(h, c0, 16).at + i0 * 16;
    for (long i = 0; i < positions; i++) store16(out + i * 16, load16(in + i * in_row));
    return;
  }
  float tile[16][16], turned[16][16];
  for (long i = 0; i < 16; i++) store16(tile[i], i < positions ? load16(in + i * in_row) : (v16){0});
  if (h->format == CK_BLOCKED) return move_shared(h, c0, i0, channels, positions, tile[0], 1);
  transpose16(tile[0], 16, turned[0], 16);
  for (long c = 0; c < channels; c++) {
    float *out = h->base + (h->first + c0 + c) * h->length + i0;
    v16 values = load16(turned[c]);
    if (positions == 16)
      store16(out, values);
    else
      store_part(out, positions, &values);
  }
}

/// Packs the head as (channels × positions): columns are positions, padded to 16 with zeros.
CK_CLONES static void pack_by_channel(const head *h, float *out) {
  long columns = round_up(h->length, 16);
  for (long i0 = 0; i0 < columns; i0 += 16) {
    long panel = i0 / CK_PANEL, width = panel_width(panel, columns);
    for (long c0 = 0; c0 < h->channels; c0 += 16)
      tile_by_channel(h, c0, i0, out + panel_offset(panel, h->channels) + c0 * width + i0 % CK_PANEL, width);
  }
}

/// Packs positions first..<last as (positions × channels), times `scale`: columns are channels, padded to 16 with
/// zeros.
/// first % 16 = 0, and last % 16 = 0 or last is the length.
CK_CLONES static void pack_by_position(const head *h, long first, long last, float scale, float *out) {
  long columns = round_up(h->channels, 16);
  for (long c0 = 0; c0 < columns; c0 += 16) {
    long panel = c0 / CK_PANEL, width = panel_width(panel, columns);
    float *to = out + panel_offset(panel, last - first) + c0 % CK_PANEL;
    for (long i0 = first; i0 < last; i0 += 16) tile_by_position(h, c0, i0, scale, to + (i0 - first) * width, width);
  }
}

/// The same in rows of `row` floats.
CK_CLONES static void rows_by_position(const head *h, long first, long last, float scale, float *out, long row) {
  for (long c0 = 0; c0 < h->channels; c0 += 16)
    for (long i0 = first; i0 < last; i0 += 16) tile_by_position(h, c0, i0, scale, out + (i0 - first) * row + c0, row);
}

/// Writes positions first..<last of the head from rows of `row` floats.
CK_CLONES static void put_rows(const head *h, long first, long last, const float *in, long row) {
  for (long c0 = 0; c0 < h->channels; c0 += 16)
    for (long i0 = first; i0 < last; i0 += 16) put_tile(h, c0, i0, in + (i0 - first) * row + c0, row);
}

// MARK: sizes

/// What every part of the two passes needs to know.
typedef struct {
  const ck_attention *attention;
  const float *q, *k, *v, *o, *dO;
  float *out, *log_sum_exp, *dq, *dk, *dv, *workspace;
  long channels;       ///< of a head
  long padded;         ///< the same, to a multiple of 16
  long columns;        ///< keys, to a multiple of 16
  long score_row;      ///< floats of a row of scores; odd in cache lines, so that rows do not share cache sets
  long block;          ///< query rows taken together, a multiple of 16
} job;

static job make_job(const ck_attention *attention) {
  job j = {.attention = attention, .channels = attention->head_channels};
  j.padded = round_up(j.channels, 16);
  j.columns = round_up(attention->keys, 16);
  j.score_row = (j.columns / 16 | 1) * 16 + (j.columns / 16 % 2 ? 32 : 0);
  // Scores of a block: 32 KiB, within the first-level cache; 128 KiB for wide heads, which then use packed K and V more
  // often.
  long scores = j.channels <= 32 ? 1L << 13 : 1L << 15;
  j.block = max_long(16, min_long(96, scores / j.columns / 16 * 16));
  j.block = min_long(j.block, round_up(attention->queries, 16));
  return j;
}

/// Floats a thread uses forward: K and V packed, a block of q, scores, o, and one factor a row.
static long forward_size(const job *j) {
  return 2 * j->columns * j->padded + j->block * (2 * j->padded + j->score_row + 1);
}

/// Backward: K by channel, V by channel, K by position, dK, dV; of a block q and dO in rows and packed, o, dq, scores
/// twice, D.
static long backward_size(const job *j) {
  return 5 * j->columns * j->padded + j->block * (6 * j->padded + 2 * j->score_row + 1);
}

long ck_attention_forward_workspace(const ck_attention *attention) {
  job j = make_job(attention);
  return ck_threads() * forward_size(&j);
}

long ck_attention_backward_workspace(const ck_attention *attention) {
  job j = make_job(attention);
  return ck_threads() * backward_size(&j);
}

// MARK: forward

/// Scores of keys that do not exist become −∞, so that rows are whole vectors and the exponentials there zero.
CK_INLINE void hide_padding(float *scores, long keys, long columns) {
  for (long k = keys; k < columns; k++) scores[k] = -INFINITY;
}

/// Turns rows of scores into exp(s − max); the factor that normalizes each row, and its log Σ exp.
CK_CLONES static void softmax_block(
  float *scores, long rows, long row, long keys, long columns, float *factors, float *log_sum_exp) {
  // Two loops: the maxima of several rows overlap in the pipeline, as do their exponentials.
  for (long i = 0; i < rows; i++) {
    hide_padding(scores + i * row, keys, columns);
    factors[i] = row_max(scores + i * row, columns);
  }
  for (long i = 0; i < rows; i++) {
    float largest = factors[i], total = exp_row(scores + i * row, scores + i * row, columns, 1, largest);
    factors[i] = 1.f / total;
    if (log_sum_exp) log_sum_exp[i] = largest + logf(total);
  }
}

CK_CLONES static void scale_rows(float *x, long rows, long row, const float *factors) {
  for (long i = 0; i < rows; i++)
    for (long c = 0; c < row; c++) x[i * row + c] *= factors[i];
}

static void forward_body(void *context, int thread, int threads) {
  const job *j = context;
  const ck_attention *attention = j->attention;
  long queries = attention->queries, keys = attention->keys, blocks = (queries + j->block - 1) / j->block;
  float *packed_k = j->workspace + thread * forward_size(j), *packed_v = packed_k + j->columns * j->padded;
  float *q_rows = packed_v + j->columns * j->padded, *o_rows = q_rows + j->block * j->padded;
  float *scores = o_rows + j->block * j->padded, *factors = scores + j->block * j->score_row;
  span mine = share_of(attention->samples * attention->heads * blocks, thread, threads);
  long packed = -1;
  for (long index = mine.first; index < mine.last; index++) {
    long item = index / blocks, first = index % blocks * j->block, last = min_long(first + j->block, queries);
    long rows = last - first;
    if (item != packed) {
      head k = head_of(attention, j->k, attention->key_stride, keys, item);
      head v = head_of(attention, j->v, attention->value_stride, keys, item);
      pack_by_channel(&k, packed_k);
      pack_by_position(&v, 0, keys, 1, packed_v);
      packed = item;
    }
    head q = head_of(attention, j->q, attention->query_stride, queries, item);
    head o = head_of(attention, j->out, attention->output_stride, queries, item);
    rows_by_position(&q, first, last, attention->scale, q_rows, j->padded);
    ck_gemm(rows, j->columns, j->channels, q_rows, j->padded, 1, packed_k, scores, j->score_row, 0);
    softmax_block(
      scores, rows, j->score_row, keys, j->columns, factors,
      j->log_sum_exp ? j->log_sum_exp + item * queries + first : NULL);
    ck_gemm(rows, j->padded, keys, scores, j->score_row, 1, packed_v, o_rows, j->padded, 0);
    scale_rows(o_rows, rows, j->padded, factors);
    put_rows(&o, first, last, o_rows, j->padded);
  }
}

void ck_attention_forward(
  const ck_attention *attention, const float *q, const float *k, const float *v, float *o, float *log_sum_exp,
  float *workspace) {
  job j = make_job(attention);
  j.q = q, j.k = k, j.v = v, j.out = o, j.log_sum_exp = log_sum_exp, j.workspace = workspace;
  ck_parallel(forward_body, &j);
}

// MARK: backward

/// A thread's buffers, in the order of `backward_size`.
typedef struct {
  float *k_by_channel, *v_by_channel, *k_by_position, *dk, *dv;
  float *q_rows, *dO_rows, *q_packed, *dO_packed, *o_rows, *dq_rows, *scores, *dscores, *inner;
} buffers;

static buffers buffers_of(const job *j, int thread) {
  float *next = j->workspace + thread * backward_size(j);
  buffers b;
  float **whole[] = {&b.k_by_channel, &b.v_by_channel, &b.k_by_position, &b.dk, &b.dv};
  for (int i = 0; i < 5; i++, next += j->columns * j->padded) *whole[i] = next;
  float **rows[] = {&b.q_rows, &b.dO_rows, &b.q_packed, &b.dO_packed, &b.o_rows, &b.dq_rows};
  for (int i = 0; i < 6; i++, next += j->block * j->padded) *rows[i] = next;
  b.scores = next;
  b.dscores = b.scores + j->block * j->score_row;
  b.inner = b.dscores + j->block * j->score_row;
  return b;
}

/// P = exp(S − log Σ exp) in place of S.
CK_CLONES static void probabilities(
  float *scores, long rows, long row, long keys, long columns, const float *log_sum_exp) {
  for (long i = 0; i < rows; i++, scores += row) {
    hide_padding(scores, keys, columns);
    exp_row(scores, scores, columns, 1, log_sum_exp[i]);
  }
}

/// inner_i = Σ_c a_ic·b_ic.
CK_CLONES static void inner_products(const float *a, const float *b, long rows, long row, float *inner) {
  for (long i = 0; i < rows; i++) {
    v16 total = {0};
    for (long c = 0; c < row; c += 16) total += load16(a + i * row + c) * load16(b + i * row + c);
    inner[i] = sum16(&total);
  }
}

/// dS = P ⊙ (dP − D) in place of dP; rows are whole vectors, P being zero in the padding.
CK_CLONES static void score_gradient(const float *p, float *dp, long rows, long row, long columns, const float *inner) {
  for (long i = 0; i < rows; i++, p += row, dp += row)
    for (long k = 0; k < columns; k += 16) store16(dp + k, load16(p + k) * (load16(dp + k) - inner[i]));
}

/// Query rows first..<last of one head: dq written, dK and dV summed into the buffers.
static void backward_rows(const job *j, const buffers *b, long item, long first, long last) {
  const ck_attention *attention = j->attention;
  long queries = attention->queries, keys = attention->keys, padded = j->padded, row = j->score_row;
  head q = head_of(attention, j->q, attention->query_stride, queries, item);
  head dq = head_of(attention, j->dq, attention->query_stride, queries, item);
  head o = head_of(attention, j->o, attention->output_stride, queries, item);
  head dO = head_of(attention, j->dO, attention->output_stride, queries, item);
  for (long begin = first; begin < last; begin += j->block) {
    long end = min_long(begin + j->block, last), rows = end - begin;
    rows_by_position(&q, begin, end, attention->scale, b->q_rows, padded);
    pack_by_position(&q, begin, end, attention->scale, b->q_packed);
    rows_by_position(&dO, begin, end, 1, b->dO_rows, padded);
    pack_by_position(&dO, begin, end, 1, b->dO_packed);
    rows_by_position(&o, begin, end, 1, b->o_rows, padded);
    inner_products(b->dO_rows, b->o_rows, rows, padded, b->inner);
    ck_gemm(rows, j->columns, j->channels, b->q_rows, padded, 1, b->k_by_channel, b->scores, row, 0);
    probabilities(b->scores, rows, row, keys, j->columns, j->log_sum_exp + item * queries + begin);
    ck_gemm(keys, padded, rows, b->scores, 1, row, b->dO_packed, b->dv, padded, begin > first);
    ck_gemm(rows, j->columns, j->channels, b->dO_rows, padded, 1, b->v_by_channel, b->dscores, row, 0);
    score_gradient(b->scores, b->dscores, rows, row, j->columns, b->inner);
    ck_gemm(rows, padded, keys, b->dscores, row, 1, b->k_by_position, b->dq_rows, padded, 0);
    put_rows(&dq, begin, end, b->dq_rows, padded);
    ck_gemm(keys, padded, rows, b->dscores, 1, row, b->q_packed, b->dk, padded, begin > first);
  }
}

static void pack_for_backward(const job *j, const buffers *b, long item) {
  const ck_attention *attention = j->attention;
  head k = head_of(attention, j->k, attention->key_stride, attention->keys, item);
  head v = head_of(attention, j->v, attention->value_stride, attention->keys, item);
  pack_by_channel(&k, b->k_by_channel);
  pack_by_channel(&v, b->v_by_channel);
  // The scale of dQ = scale·dS K is taken here.
  pack_by_position(&k, 0, attention->keys, attention->scale, b->k_by_position);
}

static void put_key_gradients(
  const job *j, const float *dk_rows, const float *dv_rows, long item, long first, long last) {
  const ck_attention *attention = j->attention;
  head dk = head_of(attention, j->dk, attention->key_stride, attention->keys, item);
  head dv = head_of(attention, j->dv, attention->value_stride, attention->keys, item);
  put_rows(&dk, first, last, dk_rows + first * j->padded, j->padded);
  put_rows(&dv, first, last, dv_rows + first * j->padded, j->padded);
}

/// sum += x over n floats, n % 16 = 0.
CK_CLONES static void add_rows(const float *x, float *sum, long n) {
  for (long i = 0; i < n; i += 16) store16(sum + i, load16(sum + i) + load16(x + i));
}

static void backward_body(void *context, int thread, int threads) {
  const job *j = context;
  const ck_attention *attention = j->attention;
  buffers b = buffers_of(j, thread);
  long items = attention->samples * attention->heads, alone = items / threads * threads;
  // As many heads as divide evenly, one thread each …
  span mine = share_of(alone, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    pack_for_backward(j, &b, item);
    backward_rows(j, &b, item, 0, attention->queries);
    put_key_gradients(j, b.dk, b.dv, item, 0, attention->keys);
  }
  // … the rest by all threads: each takes a range of queries, then all add up the sums of dK and dV in the order of the
  // threads.
  span queries = share_in_grains(attention->queries, 16, thread, threads);
  span keys = share_in_grains(attention->keys, 16, thread, threads);
  for (long item = alone; item < items; item++) {
    pack_for_backward(j, &b, item);
    if (queries.first < queries.last) {
      backward_rows(j, &b, item, queries.first, queries.last);
    } else {
      memset(b.dk, 0, (size_t)(j->columns * j->padded) * sizeof(float));
      memset(b.dv, 0, (size_t)(j->columns * j->padded) * sizeof(float));
    }
    ck_barrier();
    if (keys.first < keys.last) {
      buffers total = buffers_of(j, 0);
      long at = keys.first * j->padded, size = (keys.last - keys.first) * j->padded;
      for (int other = 1; other < threads; other++) {
        buffers part = buffers_of(j, other);
        add_rows(part.dk + at, total.dk + at, size);
        add_rows(part.dv + at, total.dv + at, size);
      }
      put_key_gradients(j, total.dk, total.dv, item, keys.first, keys.last);
    }
    ck_barrier();
  }
}

void ck_attention_backward(
  const ck_attention *attention, const float *q, const float *k, const float *v, const float *o,
  const float *log_sum_exp, const float *dO, float *dq, float *dk, float *dv, float *workspace) {
  job j = make_job(attention);
  j.q = q, j.k = k, j.v = v, j.o = o, j.log_sum_exp = (float *)log_sum_exp, j.dO = dO;
  j.dq = dq, j.dk = dk, j.dv = dv, j.workspace = workspace;
  ck_parallel(backward_body, &j);
}
