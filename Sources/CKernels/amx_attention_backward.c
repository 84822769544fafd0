// The gradient of o = P v, P = exp(S - log Σ exp S), S = scale·q kᵀ, a block of query rows at a time:
//
//   dv = Pᵀ do    dP = do vᵀ    dS = P ⊙ (dP - D), D_i = Σ_c do_ic·o_ic    dq = scale·dS k    dk = scale·dSᵀ q
//
// dk and dv gather over the blocks in tile order and are stored at the end. Each thread does whole heads.
#include "amx_attention.h"

enum { ROWS = 128 };

struct backward {
  const ck_attention *a;
  const float *q, *k, *v, *o, *log_sum_exp, *d_o;
  float *dq, *dk, *dv;
  long thread_bytes;
  char *scratch;
};

struct work {
  char *k_positions, *k_channels, *v_positions;                    // of the head
  char *q_positions, *q_channels, *do_positions, *do_channels;     // of the block of rows
  char *p_columns, *ds_columns, *ds_rows;
  float *p, *ds;       // [ROWS][keys, rounded]
  float *sum_dk, *sum_dv;  // [channel pairs][key pairs][2][2][16 keys][16 channels]
  float *d;            // [queries, rounded]
  int32_t *step;
};

static long key_pitch(const struct backward *job) { return ceil_div(job->a->keys, 32) * 32; }

static long most_steps(const struct backward *job) {
  return max_long(max_long(ceil_div(job->a->head_channels, 32), ceil_div(job->a->keys, 32)), ROWS / 32);
}

static long lay_out(const struct backward *job, char *base, struct work *work) {
  const long d = job->a->head_channels, keys = job->a->keys;
  const long sums = ceil_div(d, 32) * ceil_div(keys, 32) * 1024 * sizeof(float);
  char *cursor = base;
  work->k_positions = ck_take(&cursor, ck_packed_bytes(keys, d));
  work->k_channels = ck_take(&cursor, ck_packed_bytes(d, keys));
  work->v_positions = ck_take(&cursor, ck_packed_bytes(keys, d));
  work->q_positions = ck_take(&cursor, ck_packed_bytes(ROWS, d));
  work->q_channels = ck_take(&cursor, ck_packed_bytes(d, ROWS));
  work->do_positions = ck_take(&cursor, ck_packed_bytes(ROWS, d));
  work->do_channels = ck_take(&cursor, ck_packed_bytes(d, ROWS));
  work->p_columns = ck_take(&cursor, ck_packed_bytes(keys, ROWS));
  work->ds_columns = ck_take(&cursor, ck_packed_bytes(keys, ROWS));
  work->ds_rows = ck_take(&cursor, ck_packed_bytes(ROWS, keys));
  work->p = ck_take(&cursor, ROWS * key_pitch(job) * sizeof(float));
  work->ds = ck_take(&cursor, ROWS * key_pitch(job) * sizeof(float));
  work->sum_dk = ck_take(&cursor, sums);
  work->sum_dv = ck_take(&cursor, sums);
  work->d = ck_take(&cursor, ceil_div(job->a->queries, 16) * 16 * sizeof(float));
  work->step = ck_take(&cursor, most_steps(job) * sizeof(int32_t));
  return cursor - base;
}

static void plan(const ck_attention *a, struct backward *job) {
  *job = (struct backward){.a = a};
  struct work work;
  job->thread_bytes = lay_out(job, NULL, &work);
}

size_t ck_amx_attention_backward_scratch(const ck_attention *a) {
  struct backward job;
  plan(a, &job);
  return (size_t)(job.thread_bytes * ck_threads()) + 64;
}

#if defined(__x86_64__)

/// D_i = Σ_c do_ic·o_ic
CK_AMX static void row_dots(struct ck_head x, struct ck_head y, float *d) {
  for (long l = 0; l < x.length; l += 16) {
    const long rows = min_long(16, x.length - l);
    const __mmask16 mask = (__mmask16)((1u << rows) - 1);
    __m512 sum = _mm512_setzero_ps();
    if (!x.blocked) {
      for (long c = 0; c < x.channels; c++)
        sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, x.base + c * x.length + l),
                              _mm512_maskz_loadu_ps(mask, y.base + c * y.length + l), sum);
      _mm512_storeu_ps(d + l, sum);
      continue;
    }
    for (long r = 0; r < rows; r++) {
      sum = _mm512_setzero_ps();
      for (long c = 0; c < x.channels; c += 16)
        sum = _mm512_fmadd_ps(_mm512_loadu_ps(x.base + c * x.length + (l + r) * 16),
                              _mm512_loadu_ps(y.base + c * y.length + (l + r) * 16), sum);
      d[l + r] = _mm512_reduce_add_ps(sum);
    }
  }
}

/// p holds S: becomes P = exp(S - log Σ exp S). ds holds dP: becomes scale·P ⊙ (dP - D).
CK_AMX static void score_gradients(float *p, float *ds, long n, float log_sum_exp, float d, float scale) {
  const __m512 shift = _mm512_set1_ps(log_sum_exp), mean = _mm512_set1_ps(d), factor = _mm512_set1_ps(scale);
  for (long i = 0; i < n; i += 16) {
    __m512 probability = ck_exp16(_mm512_sub_ps(_mm512_loadu_ps(p + i), shift));
    __m512 difference = _mm512_sub_ps(_mm512_loadu_ps(ds + i), mean);
    _mm512_storeu_ps(p + i, probability);
    _mm512_storeu_ps(ds + i, _mm512_mul_ps(factor, _mm512_mul_ps(probability, difference)));
  }
}

/// sums (+)= A·B, A lines keys, B lines channels.
CK_AMX static void gather(char *a, char *b, long keys, long channels, long steps, const int32_t *step, int rounds,
                          int accumulate, float *sums) {
  const long ms = ceil_div(keys, 16), ns = ceil_div(channels, 16);
  for (long n = 0; n < ns; n += 2)
    for (long m = 0; m < ms; m += 2, sums += 1024)
      ck_multiply_packed(a, m, ms, b, n, ns, steps, step, rounds, accumulate, sums);
}

CK_AMX static void store_sums(const float *sums, struct ck_head to) {
  const long ms = ceil_div(to.length, 16), ns = ceil_div(to.channels, 16);
  for (long n = 0; n < ns; n += 2)
    for (long m = 0; m < ms; m += 2, sums += 1024)
      for (long i = 0; i < 2 && m + i < ms; i++)
        for (long j = 0; j < 2 && n + j < ns; j++)
          ck_store_head(to, (m + i) * 16, (n + j) * 16, sums + (i * 2 + j) * 256);
}

CK_AMX static void run_head(const struct backward *job, struct work *work, long head) {
  const ck_attention *a = job->a;
  const long keys = a->keys, channels = a->head_channels, pitch = key_pitch(job);
  const struct ck_head q = ck_head_of(a, job->q, a->query_stride, a->queries, head);
  const struct ck_head k = ck_head_of(a, job->k, a->key_stride, keys, head);
  const struct ck_head v = ck_head_of(a, job->v, a->value_stride, keys, head);
  const struct ck_head o = ck_head_of(a, job->o, a->output_stride, a->queries, head);
  const struct ck_head d_o = ck_head_of(a, job->d_o, a->output_stride, a->queries, head);
  const struct ck_head dq = ck_head_of(a, job->dq, a->query_stride, a->queries, head);
  const struct ck_head dk = ck_head_of(a, job->dk, a->key_stride, keys, head);
  const struct ck_head dv = ck_head_of(a, job->dv, a->value_stride, keys, head);
  const long channel_steps = ceil_div(channels, 32), key_steps = pitch / 32, key_blocks = ceil_div(keys, 16);
  const __m512 scale = _mm512_set1_ps(a->scale), one = _mm512_set1_ps(1);
  float c[1024] __attribute__((aligned(64)));
  ck_pack_positions(k, 0, keys, 1, work->k_positions);
  ck_pack_positions(v, 0, keys, 1, work->v_positions);
  ck_pack_channels(k, 0, keys, work->k_channels);
  row_dots(d_o, o, work->d);
  for (long i = 0; i < a->queries; i += ROWS) {
    const long rows = min_long(ROWS, a->queries - i), row_blocks = ceil_div(rows, 16), row_steps = ceil_div(rows, 32);
    ck_pack_positions(q, i, i + rows, 0, work->q_positions);
    ck_pack_positions(d_o, i, i + rows, 0, work->do_positions);
    ck_pack_channels(q, i, i + rows, work->q_channels);
    ck_pack_channels(d_o, i, i + rows, work->do_channels);
    // S = scale·Q Kᵀ, dP = dO Vᵀ
    for (long n = 0; n < key_blocks; n += 2) {
      for (long m = 0; m < row_blocks; m += 2) {
        ck_multiply_packed(work->q_positions, m, row_blocks, work->k_positions, n, key_blocks, channel_steps,
                           work->step, a->rounds, 0, c);
        ck_store_rows(work->p, pitch, m, row_blocks, n, key_blocks, scale, c);
        ck_multiply_packed(work->do_positions, m, row_blocks, work->v_positions, n, key_blocks, channel_steps,
                           work->step, a->rounds, 0, c);
        ck_store_rows(work->ds, pitch, m, row_blocks, n, key_blocks, one, c);
      }
    }
    for (long r = 0; r < rows; r++)
      score_gradients(work->p + r * pitch, work->ds + r * pitch, key_blocks * 16,
                      job->log_sum_exp[head * a->queries + i + r], work->d[i + r], a->scale);
    // dV += Pᵀ dO, dK += dSᵀ Q, dQ = dS K
    ck_pack_columns(work->p, pitch, rows, keys, a->rounds, work->p_columns);
    ck_pack_columns(work->ds, pitch, rows, keys, a->rounds, work->ds_columns);
    ck_pack_rows(work->ds, pitch, 0, rows, keys, a->rounds, work->ds_rows);
    gather(work->p_columns, work->do_channels, keys, channels, row_steps, work->step, a->rounds, i > 0, work->sum_dv);
    gather(work->ds_columns, work->q_channels, keys, channels, row_steps, work->step, a->rounds, i > 0, work->sum_dk);
    ck_product_to_head(work->ds_rows, row_blocks, i, work->k_channels, dq, key_steps, work->step);
  }
  store_sums(work->sum_dk, dk);
  store_sums(work->sum_dv, dv);
}

CK_AMX static void body(void *context, int thread, int threads) {
  const struct backward *job = context;
  struct work work;
  lay_out(job, job->scratch + thread * job->thread_bytes, &work);
  ck_fill_steps(work.step, most_steps(job));
  const span mine = share_of(job->a->samples * job->a->heads, thread, threads);
  ck_tiles_begin();
  for (long head = mine.first; head < mine.last; head++) run_head(job, &work, head);
  _tile_release();
}

void ck_amx_attention_backward(const ck_attention *attention, const float *q, const float *k, const float *v,
                               const float *o, const float *log_sum_exp, const float *dO, float *dq, float *dk,
                               float *dv, void *scratch) {
  struct backward job;
  plan(attention, &job);
  job.q = q, job.k = k, job.v = v, job.o = o, job.log_sum_exp = log_sum_exp, job.d_o = dO;
  job.dq = dq, job.dk = dk, job.dv = dv;
  job.scratch = ck_aligned(scratch);
  ck_parallel(body, &job);
}
#else
void ck_amx_attention_backward(const ck_attention *attention, const float *q, const float *k, const float *v,
                               const float *o, const float *log_sum_exp, const float *dO, float *dq, float *dk,
                               float *dv, void *scratch) {
  (void)attention, (void)q, (void)k, (void)v, (void)o, (void)log_sum_exp, (void)dO, (void)dq, (void)dk, (void)dv;
  (void)scratch;
}
#endif
