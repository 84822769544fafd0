// Matrix products. Each part (a thread's, as a rule) owns a block of C; it packs its columns of B once, then its rows of
// A in chunks that stay in the L2 cache.
#include "amx_stream.h"

enum { CHUNK_BYTES = 1 << 19 };

struct gemm {
  long M, N, K;
  int transA, transB;
  float alpha, beta;
  const float *A, *B;
  float *C;
  long lda, ldb, ldc;
  int rounds;
  long row_parts, column_parts;
  long steps;       // blocks of 32 k
  long chunk;       // 16-row blocks of A packed at a time
  long columns;     // 16-column blocks of B, of any thread at most
  long thread_bytes;
  char *scratch;
};

struct work {
  char *a;          // [chunk][steps][hi, lo][16 m][32 k]
  char *b;          // [columns][steps][hi, lo][16 k pairs][16 n][2]
  int32_t *step;
};

static long lay_out(const struct gemm *job, char *base, struct work *work) {
  char *cursor = base;
  work->a = ck_take(&cursor, job->chunk * job->steps * 2048);
  work->b = ck_take(&cursor, job->columns * job->steps * 2048);
  work->step = ck_take(&cursor, job->steps * sizeof(int32_t));
  return cursor - base;
}

static void plan(struct gemm *job) {
  // The division into parts whose slowest thread multiplies fewest tiles; on a tie, the one that packs least.
  const long threads = ck_threads();
  double best = -1;
  for (long parts = threads; parts >= 1; parts--) {
    if (threads % parts) continue;
    long rows = ceil_div(ceil_div(job->M, 16), parts), columns = ceil_div(ceil_div(job->N, 16), threads / parts);
    double cost = 8.0 * ceil_div(rows, 2) * ceil_div(columns, 2) + rows + columns;
    if (best >= 0 && cost >= best) continue;
    best = cost;
    job->row_parts = parts;
    job->column_parts = threads / parts;
  }
  job->steps = ceil_div(job->K, 32);
  long rows = ceil_div(ceil_div(job->M, 16), job->row_parts);
  job->chunk = min_long(rows, max_long(2, CHUNK_BYTES / (max_long(1, job->steps) * 2048) / 2 * 2));
  job->columns = ceil_div(ceil_div(job->N, 16), job->column_parts);
  struct work work;
  job->thread_bytes = lay_out(job, NULL, &work);
}

size_t ck_amx_gemm_scratch(long M, long N, long K) {
  struct gemm job = {.M = M, .N = N, .K = K};
  plan(&job);
  return (size_t)(job.thread_bytes * job.row_parts * job.column_parts) + 64;
}

#if defined(__x86_64__)
#include "amx_pack.h"

/// Packs 16-line blocks [first, last) of a matrix of `lines` × job->K: [block][steps][hi, lo].
CK_AMX static void pack(const struct gemm *job, struct ck_lines from, long lines, long first, long last, int b_tile,
                        char *to) {
  for (long block = first; block < last; block++) {
    for (long s = 0; s < job->steps; s++, to += 2 * CK_TILE) {
      struct ck_lines at = from;
      at.p += block * 16 * from.line_stride + s * 32 * from.k_stride;
      ck_pack_tile(at, min_long(16, lines - block * 16), min_long(32, job->K - s * 32), b_tile, to,
                   job->rounds ? NULL : to + CK_TILE);
    }
  }
}

/// C = alpha·c + beta·C for one tile at block row m, block column n.
CK_AMX static void finish(const struct gemm *job, long m, long n, const float *c) {
  const long rows = min_long(16, job->M - m * 16), columns = min_long(16, job->N - n * 16);
  const __mmask16 mask = (__mmask16)((1u << columns) - 1);
  const __m512 alpha = _mm512_set1_ps(job->alpha), beta = _mm512_set1_ps(job->beta);
  for (long r = 0; r < rows; r++) {
    float *to = job->C + (m * 16 + r) * job->ldc + n * 16;
    __m512 value = _mm512_mul_ps(alpha, _mm512_load_ps(c + r * 16));
    if (job->beta != 0) value = _mm512_fmadd_ps(beta, _mm512_maskz_loadu_ps(mask, to), value);
    _mm512_mask_storeu_ps(to, mask, value);
  }
}

CK_AMX static void run_part(const struct gemm *job, long part) {
  struct work work;
  lay_out(job, job->scratch + part * job->thread_bytes, &work);
  for (long s = 0; s < job->steps; s++) work.step[s] = (int32_t)(s * 2 * CK_TILE);
  const span blocks = share_of(ceil_div(job->M, 16), part / job->column_parts, job->row_parts);
  const span across = share_of(ceil_div(job->N, 16), part % job->column_parts, job->column_parts);
  const struct ck_lines a = {job->A, job->transA ? 1 : job->lda, job->transA ? job->lda : 1};
  const struct ck_lines b = {job->B, job->transB ? job->ldb : 1, job->transB ? 1 : job->ldb};
  const long block = job->steps * 2 * CK_TILE;
  float c[1024] __attribute__((aligned(64)));
  if (blocks.first < blocks.last) pack(job, b, job->N, across.first, across.last, 1, work.b);
  for (long row = blocks.first; row < blocks.last; row += job->chunk) {
    const long end = min_long(blocks.last, row + job->chunk);
    pack(job, a, job->M, row, end, 0, work.a);
    for (long n = across.first; n < across.last; n += 2) {
      for (long m = row; m < end; m += 2) {
        const int rows = m + 1 < end ? 2 : 1, columns = n + 1 < across.last ? 2 : 1;
        struct ck_product product = {.a_step = work.step, .b_step = work.step, .a_lo = CK_TILE, .b_lo = CK_TILE,
                                     .a_pitch = 64, .steps = job->steps, .rounds = job->rounds};
        for (int i = 0; i < 2; i++) {
          product.a[i] = work.a + (m - row + i) * block;
          product.b[i] = work.b + (n - across.first + i) * block;
        }
        ck_multiply(&product, rows, columns, 0, c);
        for (int i = 0; i < rows; i++)
          for (int j = 0; j < columns; j++) finish(job, m + i, n + j, c + (i * 2 + j) * 256);
      }
    }
  }
}

CK_AMX static void body(void *context, int thread, int threads) {
  const struct gemm *job = context;
  ck_tiles_begin();
  for (long part = thread; part < job->row_parts * job->column_parts; part += threads) run_part(job, part);
  _tile_release();
}

void ck_amx_gemm(int transA, int transB, long M, long N, long K, float alpha, const float *A, long lda, const float *B,
                 long ldb, float beta, float *C, long ldc, int rounds, void *scratch) {
  if (M <= 0 || N <= 0) return;
  struct gemm job = {.M = M, .N = N, .K = K, .transA = transA, .transB = transB, .alpha = alpha, .beta = beta,
                     .A = A, .B = B, .C = C, .lda = lda, .ldb = ldb, .ldc = ldc, .rounds = rounds};
  plan(&job);
  job.scratch = ck_aligned(scratch);
  ck_parallel(body, &job);
}
#else
void ck_amx_gemm(int transA, int transB, long M, long N, long K, float alpha, const float *A, long lda, const float *B,
                 long ldb, float beta, float *C, long ldc, int rounds, void *scratch) {
  (void)transA, (void)transB, (void)M, (void)N, (void)K, (void)alpha, (void)A, (void)lda, (void)B, (void)ldb;
  (void)beta, (void)C, (void)ldc, (void)rounds, (void)scratch;
}
#endif
