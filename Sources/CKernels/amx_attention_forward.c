// o_i = Σ_j P_ij v_j, P = softmax_j(scale·q_i·k_j), a block of query rows at a time. Each part does heads, or where
// there are few, part of the queries of each.
#include "amx_attention.h"

enum { ROWS = 32 };

struct forward {
  const ck_attention *a;
  long parts;  // of a head's queries
  const float *q, *k, *v;
  float *o, *log_sum_exp;
  long thread_bytes;
  char *scratch;
};

struct work {
  char *q, *k, *v, *p;  // split
  float *scores;        // [ROWS][keys, rounded]
  int32_t *step;
};

static long key_pitch(const struct forward *job) { return ceil_div(job->a->keys, 32) * 32; }

static long lay_out(const struct forward *job, char *base, struct work *work) {
  const long d = job->a->head_channels, keys = job->a->keys;
  char *cursor = base;
  work->q = ck_take(&cursor, ck_packed_bytes(ROWS, d));
  work->k = ck_take(&cursor, ck_packed_bytes(keys, d));
  work->v = ck_take(&cursor, ck_packed_bytes(d, keys));
  work->p = ck_take(&cursor, ck_packed_bytes(ROWS, keys));
  work->scores = ck_take(&cursor, ROWS * key_pitch(job) * sizeof(float));
  work->step = ck_take(&cursor, max_long(ceil_div(d, 32), ceil_div(keys, 32)) * sizeof(int32_t));
  return cursor - base;
}

static void plan(const ck_attention *a, struct forward *job) {
  *job = (struct forward){.a = a};
  const long heads = a->samples * a->heads;
  job->parts = heads % ck_threads() ? min_long(ck_threads(), ceil_div(a->queries, ROWS)) : 1;
  struct work work;
  job->thread_bytes = lay_out(job, NULL, &work);
}

size_t ck_amx_attention_forward_scratch(const ck_attention *a) {
  struct forward job;
  plan(a, &job);
  return (size_t)(job.thread_bytes * ck_threads()) + 64;
}

#if defined(__x86_64__)
#include <math.h>

/// Softmax of a row in place, zeros after its end up to `pitch`; returns log Σ exp.
CK_AMX static float softmax(float *row, long n, long pitch) {
  __m512 largest = _mm512_set1_ps(-INFINITY), total = _mm512_setzero_ps();
  for (long i = n; i < pitch; i++) row[i] = -INFINITY;
  for (long i = 0; i < pitch; i += 16) largest = _mm512_max_ps(largest, _mm512_loadu_ps(row + i));
  const float shift = _mm512_reduce_max_ps(largest);
  for (long i = 0; i < pitch; i += 16) {
    __m512 x = _mm512_loadu_ps(row + i);
    __mmask16 inside = i + 16 <= n ? 0xffff : i < n ? (__mmask16)((1u << (n - i)) - 1) : 0;
    __m512 e = _mm512_maskz_mov_ps(inside, ck_exp16(_mm512_sub_ps(x, _mm512_set1_ps(shift))));
    _mm512_storeu_ps(row + i, e);
    total = _mm512_add_ps(total, e);
  }
  const float sum = _mm512_reduce_add_ps(total);
  const __m512 factor = _mm512_set1_ps(1 / sum);
  for (long i = 0; i < pitch; i += 16) _mm512_storeu_ps(row + i, _mm512_mul_ps(factor, _mm512_loadu_ps(row + i)));
  return shift + logf(sum);
}

CK_AMX static void run_item(const struct forward *job, struct work *work, long item) {
  const ck_attention *a = job->a;
  const long head = item / job->parts, pitch = key_pitch(job);
  const struct ck_head q = ck_head_of(a, job->q, a->query_stride, a->queries, head);
  const struct ck_head k = ck_head_of(a, job->k, a->key_stride, a->keys, head);
  const struct ck_head v = ck_head_of(a, job->v, a->value_stride, a->keys, head);
  const struct ck_head o = ck_head_of(a, job->o, a->output_stride, a->queries, head);
  const long channel_steps = ceil_div(a->head_channels, 32), key_steps = pitch / 32, key_blocks = ceil_div(a->keys, 16);
  const __m512 scale = _mm512_set1_ps(a->scale);
  float c[1024] __attribute__((aligned(64)));
  ck_pack_positions(k, 0, a->keys, 1, work->k);
  ck_pack_channels(v, 0, a->keys, work->v);
  const span blocks = share_of(ceil_div(a->queries, ROWS), item % job->parts, job->parts);
  for (long i = blocks.first * ROWS; i < min_long(blocks.last * ROWS, a->queries); i += ROWS) {
    const long rows = min_long(ROWS, a->queries - i), row_blocks = ceil_div(rows, 16);
    // S = scale·Q Kᵀ
    ck_pack_positions(q, i, i + rows, 0, work->q);
    for (long n = 0; n < key_blocks; n += 2) {
      ck_multiply_packed(work->q, 0, row_blocks, work->k, n, key_blocks, channel_steps, work->step, a->rounds, 0,
                         c);
      ck_store_rows(work->scores, pitch, 0, row_blocks, n, key_blocks, scale, c);
    }
    for (long r = 0; r < rows; r++) {
      float log_sum_exp = softmax(work->scores + r * pitch, a->keys, pitch);
      if (job->log_sum_exp) job->log_sum_exp[head * a->queries + i + r] = log_sum_exp;
    }
    // O = P V
    ck_pack_rows(work->scores, pitch, 0, rows, a->keys, a->rounds, work->p);
    ck_product_to_head(work->p, row_blocks, i, work->v, o, key_steps, work->step);
  }
}

CK_AMX static void body(void *context, int thread, int threads) {
  const struct forward *job = context;
  struct work work;
  lay_out(job, job->scratch + thread * job->thread_bytes, &work);
  ck_fill_steps(work.step, max_long(ceil_div(job->a->head_channels, 32), ceil_div(job->a->keys, 32)));
  const span mine = share_of(job->a->samples * job->a->heads * job->parts, thread, threads);
  ck_tiles_begin();
  for (long item = mine.first; item < mine.last; item++) run_item(job, &work, item);
  _tile_release();
}

void ck_amx_attention_forward(const ck_attention *attention, const float *q, const float *k, const float *v, float *o,
                              float *log_sum_exp, void *scratch) {
  struct forward job;
  plan(attention, &job);
  job.q = q, job.k = k, job.v = v, job.o = o, job.log_sum_exp = log_sum_exp;
  job.scratch = ck_aligned(scratch);
  ck_parallel(body, &job);
}
#else
void ck_amx_attention_forward(const ck_attention *attention, const float *q, const float *k, const float *v, float *o,
                              float *log_sum_exp, void *scratch) {
  (void)attention, (void)q, (void)k, (void)v, (void)o, (void)log_sum_exp, (void)scratch;
}
#endif
