// P is made again from the saved log Σ exp:
//   dV = Pᵀ dO     dP = dO Vᵀ     dS = P ⊙ (dP − D), D_i = Σ_c dO_ic·O_ic     dQ = scale·dS K     dK = scale·dSᵀ Q
#include "ck_attention_head.h"
#include "ck_softmax.h"

#pragma clang fp contract(fast)

/// Floats a thread uses: K by channel, V by channel, K by position, dK, dV; of a block q and dO in rows and packed, o,
/// dq, scores twice, D, and rounded operands.
static long backward_size(const job *j) {
  return 5 * j->columns * j->padded + j->block * (6 * j->padded + 2 * j->score_row + 1) + j->words;
}

long ck_attention_backward_workspace(const ck_attention *attention) {
  job j = make_job(attention);
  return ck_threads() * backward_size(&j);
}

/// A thread's buffers, in the order of `backward_size`.
typedef struct {
  float *k_by_channel, *v_by_channel, *k_by_position, *dk, *dv;
  float *q_rows, *dO_rows, *q_packed, *dO_packed, *o_rows, *dq_rows, *scores, *dscores, *inner, *words;
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
  b.words = b.inner + j->block;
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
    pack_by_position(&q, begin, end, attention->scale, attention->rounds, b->q_packed);
    rows_by_position(&dO, begin, end, 1, b->dO_rows, padded);
    pack_by_position(&dO, begin, end, 1, attention->rounds, b->dO_packed);
    rows_by_position(&o, begin, end, 1, b->o_rows, padded);
    inner_products(b->dO_rows, b->o_rows, rows, padded, b->inner);
    multiply(j, b->words, rows, j->columns, j->channels, b->q_rows, padded, 1, b->k_by_channel, b->scores, row, 0);
    probabilities(b->scores, rows, row, keys, j->columns, j->log_sum_exp + item * queries + begin);
    multiply(j, b->words, keys, padded, rows, b->scores, 1, row, b->dO_packed, b->dv, padded, begin > first);
    multiply(j, b->words, rows, j->columns, j->channels, b->dO_rows, padded, 1, b->v_by_channel, b->dscores, row, 0);
    score_gradient(b->scores, b->dscores, rows, row, j->columns, b->inner);
    multiply(j, b->words, rows, padded, keys, b->dscores, row, 1, b->k_by_position, b->dq_rows, padded, 0);
    put_rows(&dq, begin, end, b->dq_rows, padded);
    multiply(j, b->words, keys, padded, rows, b->dscores, 1, row, b->q_packed, b->dk, padded, begin > first);
  }
}

static void pack_for_backward(const job *j, const buffers *b, long item) {
  const ck_attention *attention = j->attention;
  head k = head_of(attention, j->k, attention->key_stride, attention->keys, item);
  head v = head_of(attention, j->v, attention->value_stride, attention->keys, item);
  pack_by_channel(&k, attention->rounds, b->k_by_channel);
  pack_by_channel(&v, attention->rounds, b->v_by_channel);
  // The scale of dQ = scale·dS K is taken here.
  pack_by_position(&k, 0, attention->keys, attention->scale, attention->rounds, b->k_by_position);
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
