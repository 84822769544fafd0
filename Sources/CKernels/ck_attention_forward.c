// S = scale·Q Kᵀ, P = softmax(S), O = P V.
#include "ck_attention_head.h"
#include "ck_softmax.h"

#pragma clang fp contract(fast)

/// Floats a thread uses: K and V packed, a block of q, scores, o, one factor a row, and rounded operands.
static long forward_size(const job *j) {
  return 2 * j->columns * j->padded + j->block * (2 * j->padded + j->score_row + 1) + j->words;
}

long ck_attention_forward_workspace(const ck_attention *attention) {
  job j = make_job(attention);
  return ck_threads() * forward_size(&j);
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
  float *words = factors + j->block;
  span mine = share_of(attention->samples * attention->heads * blocks, thread, threads);
  long packed = -1;
  for (long index = mine.first; index < mine.last; index++) {
    long item = index / blocks, first = index % blocks * j->block, last = min_long(first + j->block, queries);
    long rows = last - first;
    if (item != packed) {
      head k = head_of(attention, j->k, attention->key_stride, keys, item);
      head v = head_of(attention, j->v, attention->value_stride, keys, item);
      pack_by_channel(&k, attention->rounds, packed_k);
      pack_by_position(&v, 0, keys, 1, attention->rounds, packed_v);
      packed = item;
    }
    head q = head_of(attention, j->q, attention->query_stride, queries, item);
    head o = head_of(attention, j->out, attention->output_stride, queries, item);
    rows_by_position(&q, first, last, attention->scale, q_rows, j->padded);
    multiply(j, words, rows, j->columns, j->channels, q_rows, j->padded, 1, packed_k, scores, j->score_row, 0);
    softmax_block(
      scores, rows, j->score_row, keys, j->columns, factors,
      j->log_sum_exp ? j->log_sum_exp + item * queries + first : NULL);
    multiply(j, words, rows, j->padded, keys, scores, j->score_row, 1, packed_v, o_rows, j->padded, 0);
    scale_rows(o_rows, rows, j->padded, factors);
    put_rows(&o, first, last, o_rows, j->padded);
  }
}

/// Smaller blocks where there are too few of them to be shared evenly. Rows do not depend on each other, nor on their block.
static void share_blocks(job *j) {
  long heads = j->attention->samples * j->attention->heads, queries = j->attention->queries, threads = ck_threads();
  long blocks = heads * ceil_div(queries, j->block);
  if (blocks % threads == 0 || blocks >= 8 * threads) return;
  long of_a_head = ceil_div(round_up(blocks, threads), heads);
  j->block = min_long(j->block, round_up(ceil_div(queries, of_a_head), 16));
}

void ck_attention_forward(
  const ck_attention *attention, const float *q, const float *k, const float *v, float *o, float *log_sum_exp,
  float *workspace) {
  job j = make_job(attention);
  share_blocks(&j);
  j.q = q, j.k = k, j.v = v, j.out = o, j.log_sum_exp = log_sum_exp, j.workspace = workspace;
  ck_parallel(forward_body, &j);
}
