#include "CKernels.h"
#include "ck_softmax.h"

#pragma clang fp contract(fast)

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

typedef struct {
  const float *x;
  float *y;
  long rows, n;
  float scale;
} softmax_job;

static void softmax_body(void *context, int thread, int threads) {
  const softmax_job *job = context;
  span mine = share_of(job->rows, thread, threads);
  long at = mine.first * job->n, rows = mine.last - mine.first;
  softmax_rows(job->x + at, job->y + at, rows, job->n, job->scale);
}

void ck_softmax(const float *x, float *y, long rows, long n, float scale) {
  if (n == 0) return;
  softmax_job job = {.x = x, .y = y, .rows = rows, .n = n, .scale = scale};
  ck_parallel(softmax_body, &job);
}
