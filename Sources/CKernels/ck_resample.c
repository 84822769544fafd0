#include "CKernels.h"
#include "ck_internal.h"

typedef struct {
  const float *x;
  float *y;
  long planes, height, width, factor, lanes;
} resize_job;

static resize_job make_resize(
  const float *x, float *y, long planes, long height, long width, long factor, ck_format format) {
  return (resize_job){x, y, planes, height, width, factor, format == CK_BLOCKED ? 16 : 1};
}

/// One row of x to `factor` rows of y.
CK_CLONES static void enlarge_row(const resize_job *job, const float *x, float *y) {
  long f = job->factor, lanes = job->lanes, wide = job->width * f * lanes;
  if (lanes == 16)
    for (long w = 0; w < job->width; w++)
      for (long k = 0; k < f; k++) store16(y + (w * f + k) * 16, load16(x + w * 16));
  else if (f == 2)
    for (long w = 0; w < job->width; w++) y[2 * w] = y[2 * w + 1] = x[w];
  else
    for (long w = 0; w < job->width; w++)
      for (long k = 0; k < f; k++) y[w * f + k] = x[w];
  for (long k = 1; k < f; k++) memcpy(y + k * wide, y, (size_t)wide * sizeof(float));
}

static void enlarge_body(void *context, int thread, int threads) {
  const resize_job *job = context;
  long row = job->width * job->lanes;
  span mine = share_of(job->planes * job->height, thread, threads);
  for (long h = mine.first; h < mine.last; h++)
    enlarge_row(job, job->x + h * row, job->y + h * row * job->factor * job->factor);
}

/// y[w] = scale · Σ of the factor × factor block of x, whose rows are `stride` floats apart; `columns` blocks.
CK_CLONES static void sum_blocks(
  const float *x, long stride, float *y, long columns, long factor, long lanes, float scale) {
  if (lanes == 16) {
    for (long w = 0; w < columns; w++) {
      v16 sum = {0};
      for (long i = 0; i < factor; i++)
        for (long j = 0; j < factor; j++) sum += load16(x + i * stride + (w * factor + j) * 16);
      store16(y + w * 16, sum * scale);
    }
  } else if (factor == 2) {
    for (long w = 0; w < columns; w++)
      y[w] = ((x[2 * w] + x[2 * w + 1]) + (x[stride + 2 * w] + x[stride + 2 * w + 1])) * scale;
  } else {
    for (long w = 0; w < columns; w++) {
      float sum = 0;
      for (long i = 0; i < factor; i++)
        for (long j = 0; j < factor; j++) sum += x[i * stride + w * factor + j];
      y[w] = sum * scale;
    }
  }
}

static void pool_body(void *context, int thread, int threads) {
  const resize_job *job = context;
  long k = job->factor, rows = job->height / k, columns = job->width / k, row = job->width * job->lanes;
  span mine = share_of(job->planes * rows, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long plane = item / rows, h = item % rows;
    sum_blocks(
      job->x + (plane * job->height + h * k) * row, row, job->y + item * columns * job->lanes, columns, k, job->lanes,
      1.f / (float)(k * k));
  }
}

void ck_upsample_nearest(
  const float *x, float *y, long planes, long height, long width, long factor, ck_format format) {
  resize_job job = make_resize(x, y, planes, height, width, factor, format);
  ck_parallel(enlarge_body, &job);
}

void ck_average_pool(const float *x, float *y, long planes, long height, long width, long k, ck_format format) {
  resize_job job = make_resize(x, y, planes, height, width, k, format);
  ck_parallel(pool_body, &job);
}
