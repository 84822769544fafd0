#include "CKernels.h"
#include "ck_gemm.h"

typedef struct {
  int transposed_a, transposed_b;
  long m, n, k;
  const float *a, *b;
  float *y, *workspace;
} matmul_job;

/// A panel of B, and the results of a last one that is not filled.
static long workspace_per_thread(long m, long k) { return (k + m) * CK_PANEL; }

long ck_matmul_workspace(long m, long n, long k) { return ck_threads() * workspace_per_thread(m, k); }

/// The columns `column` ..< `column + width` of B, those that are not there zero.
CK_CLONES static void pack_panel(const matmul_job *job, long column, long width, float *panel) {
  long n = job->n, k = job->k, exist = min_long(width, n - column);
  long whole = job->transposed_b && exist == width ? k / 16 * 16 : 0;
  for (long l = 0; l < whole; l += 16)
    for (long j = 0; j < width; j += 16) transpose16(job->b + (column + j) * k + l, k, panel + l * width + j, width);
  for (long l = whole; l < k; l++)
    for (long j = 0; j < width; j++)
      panel[l * width + j] = j >= exist ? 0 : job->transposed_b ? job->b[(column + j) * k + l] : job->b[l * n + column + j];
}

static void matmul_body(void *context, int thread, int threads) {
  const matmul_job *job = context;
  long m = job->m, n = job->n, k = job->k, panels = ceil_div(n, CK_PANEL), runs = min_long(m, ceil_div(threads, panels));
  long a_row = job->transposed_a ? 1 : k, a_column = job->transposed_a ? m : 1;
  float *panel = job->workspace + thread * workspace_per_thread(m, k), *apart = panel + k * CK_PANEL;
  span mine = share_of(panels * runs, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long column = item / runs * CK_PANEL, exist = min_long(CK_PANEL, n - column), width = round_up(exist, 16);
    span rows = share_of(m, item % runs, runs);
    if (item == mine.first || item % runs == 0) pack_panel(job, column, width, panel);
    int fits = exist == width;
    float *c = fits ? job->y + rows.first * n + column : apart;
    long c_row = fits ? n : width, count = rows.last - rows.first;
    ck_gemm(count, width, k, job->a + rows.first * a_row, a_row, a_column, panel, c, c_row, 0);
    for (long i = 0; !fits && i < count; i++)
      memcpy(job->y + (rows.first + i) * n + column, apart + i * width, (size_t)exist * sizeof(float));
  }
}

void ck_matmul(
  int transposed_a, int transposed_b, long m, long n, long k, const float *a, const float *b, float *y, float *workspace) {
  matmul_job job = {transposed_a, transposed_b, m, n, k, a, b, y, workspace};
  ck_parallel_over(m * n * k / 16, matmul_body, &job);
}
