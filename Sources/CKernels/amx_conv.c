// Convolution forward and backward data: which correlations, with which weights.
#include "amx_correlate.h"

int ck_amx_conv_supported(const struct ck_conv *c) {
  return c->N > 0 && c->Ci > 0 && c->Co > 0 && c->Ci % 16 == 0 && c->Co % 16 == 0 && (c->K == 1 || c->K == 3) &&
         (c->stride == 1 || c->stride == 2) && c->pad_low >= 0 && c->pad_low < c->K && c->pad_high >= 0 &&
         c->pad_high < c->K && c->H + c->pad_low + c->pad_high >= c->K && c->W + c->pad_low + c->pad_high >= c->K;
}

static void plan_forward(const struct ck_conv *c, struct ck_correlate *job) {
  struct ck_correlation of;
  ck_correlation_forward(c, &of);
  ck_correlate_init(job, &of, c->Ci, c->Co, c->K * c->K);
  job->rounds = c->rounds;
}

/// Returns 0 where no pixel has that parity: an image one pixel high or wide.
static int plan_backward_data(const struct ck_conv *c, long parity, struct ck_correlate *job) {
  const long row = parity / c->stride, column = parity % c->stride;
  if (row >= c->H || column >= c->W) return 0;
  struct ck_correlation of;
  ck_correlation_backward_data(c, row, column, &of);
  ck_correlate_init(job, &of, c->Co, c->Ci, c->K * c->K);
  job->rounds = c->rounds;
  return 1;
}

size_t ck_amx_conv_forward_scratch(const struct ck_conv *c) {
  struct ck_correlate job;
  plan_forward(c, &job);
  return ck_correlate_scratch(&job);
}

size_t ck_amx_conv_backward_data_scratch(const struct ck_conv *c) {
  size_t largest = 0;
  for (long parity = 0; parity < c->stride * c->stride; parity++) {
    struct ck_correlate job;
    if (!plan_backward_data(c, parity, &job)) continue;
    size_t size = ck_correlate_scratch(&job);
    if (size > largest) largest = size;
  }
  return largest;
}

void ck_amx_conv_forward(const struct ck_conv *c, float *y, const float *x, const struct ck_conv_prologue *prologue,
                         const void *packed, const float *bias, const float *residual, void *scratch) {
  struct ck_correlate job;
  plan_forward(c, &job);
  job.y = y, job.x = x, job.prologue = prologue, job.packed = packed, job.bias = bias, job.add = residual;
  job.scratch = scratch;
  ck_correlate_run(&job);
}

void ck_amx_conv_backward_data(const struct ck_conv *c, float *dx, const float *dy, const void *packed,
                               const float *add, void *scratch) {
  for (long parity = 0; parity < c->stride * c->stride; parity++) {
    struct ck_correlate job;
    if (!plan_backward_data(c, parity, &job)) continue;
    job.y = dx, job.x = dy, job.packed = packed, job.add = add, job.scratch = scratch;
    ck_correlate_run(&job);
  }
}
