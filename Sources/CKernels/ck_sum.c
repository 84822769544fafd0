#include "CKernels.h"
#include "ck_axes.h"

// Sums run in FP32 over at most 64 vectors, or rows, and in double above: the error does not grow with the size.

// MARK: contiguous numbers

/// Σ x or Σ x².
CK_CLONES static double sum_range(const float *x, long n, int squared) {
  enum { CHUNK = 1024 };
  double total = 0;
  for (long begin = 0; begin < n; begin += CHUNK) {
    long end = min_long(begin + CHUNK, n), i = begin;
    v16 sums = {0};
    if (squared)
      for (; i + 16 <= end; i += 16) sums += load16(x + i) * load16(x + i);
    else
      for (; i + 16 <= end; i += 16) sums += load16(x + i);
    for (int lane = 0; lane < 16; lane++) total += sums[lane];
    for (; i < end; i++) total += squared ? (double)x[i] * x[i] : x[i];
  }
  return total;
}

/// A fixed number of parts, so that the result does not depend on the number of threads.
enum { PARTS = 64 };

typedef struct {
  const float *x;
  long n;
  double parts[PARTS];
} sum_job;

static void squares_body(void *context, int thread, int threads) {
  sum_job *job = context;
  span mine = share_of(PARTS, thread, threads);
  for (long part = mine.first; part < mine.last; part++) {
    span range = share_in_grains(job->n, 64, part, PARTS);
    job->parts[part] = sum_range(job->x + range.first, range.last - range.first, 1);
  }
}

double ck_sum_of_squares(const float *x, long n) {
  sum_job job = {.x = x, .n = n};
  ck_parallel_over(n, squares_body, &job);
  double total = 0;
  for (int part = 0; part < PARTS; part++) total += job.parts[part];
  return total;
}

// MARK: channel sums

typedef struct {
  const float *x;
  float *y;
  long samples, channels, pixels;
} channel_job;

CK_CLONES static void blocked_channel_sums(const channel_job *job, long block) {
  enum { CHUNK = 64 };
  double total[16] = {0};
  long blocks = (job->channels + 15) / 16;
  for (long n = 0; n < job->samples; n++) {
    const float *x = job->x + (n * blocks + block) * job->pixels * 16;
    for (long begin = 0; begin < job->pixels; begin += CHUNK) {
      v16 sums = {0};
      for (long i = begin; i < min_long(begin + CHUNK, job->pixels); i++) sums += load16(x + i * 16);
      for (int lane = 0; lane < 16; lane++) total[lane] += sums[lane];
    }
  }
  for (long lane = 0; lane < min_long(16, job->channels - block * 16); lane++)
    job->y[block * 16 + lane] = (float)total[lane];
}

static void blocked_channel_body(void *context, int thread, int threads) {
  const channel_job *job = context;
  span mine = share_of((job->channels + 15) / 16, thread, threads);
  for (long block = mine.first; block < mine.last; block++) blocked_channel_sums(job, block);
}

static void plain_channel_body(void *context, int thread, int threads) {
  const channel_job *job = context;
  span mine = share_of(job->channels, thread, threads);
  for (long c = mine.first; c < mine.last; c++) {
    double total = 0;
    for (long n = 0; n < job->samples; n++)
      total += sum_range(job->x + (n * job->channels + c) * job->pixels, job->pixels, 0);
    job->y[c] = (float)total;
  }
}

void ck_channel_sums(const float *x, float *y, long samples, long channels, long pixels, int blocked) {
  channel_job job = {x, y, samples, channels, pixels};
  ck_parallel(blocked ? blocked_channel_body : plain_channel_body, &job);
}

// MARK: sums over any axes

enum { FROM, TO };

typedef struct {
  const float *x;
  float *y;
  axes kept, reduced;  ///< kept: views FROM and TO; reduced: view FROM
} axes_job;

/// One element of y: all of the reduced axes, the innermost a row.
CK_CLONES static double sum_point(const axes_job *job, const float *x) {
  const axes *a = &job->reduced;
  int last = a->rank - 1;
  long rows = count_of(a, 0, last), n = a->shape[last], stride = a->strides[FROM][last];
  double total = 0;
  place at;
  go_to(&at, a, last, 0);
  for (long row = 0; row < rows; row++, go_on(&at, a, last)) {
    const float *values = x + at.offset[FROM];
    if (stride == 1)
      total += sum_range(values, n, 0);
    else
      for (long i = 0; i < n; i++) total += values[i * stride];
  }
  return total;
}

enum { COLUMNS = 128 };

/// `width` ≤ COLUMNS neighbouring elements of y, x being contiguous along them.
CK_CLONES static void sum_columns(const axes_job *job, const float *x, float *y, long width, long y_stride) {
  const axes *a = &job->reduced;
  long rows = count_of(a, 0, a->rank);
  double total[COLUMNS];
  float sums[COLUMNS];
  for (long i = 0; i < width; i++) total[i] = 0;
  place at;
  go_to(&at, a, a->rank, 0);
  for (long begin = 0; begin < rows; begin += 64) {
    for (long i = 0; i < width; i++) sums[i] = 0;
    for (long row = begin; row < min_long(begin + 64, rows); row++, go_on(&at, a, a->rank)) {
      const float *values = x + at.offset[FROM];
      for (long i = 0; i < width; i++) sums[i] += values[i];
    }
    for (long i = 0; i < width; i++) total[i] += sums[i];
  }
  for (long i = 0; i < width; i++) y[i * y_stride] = (float)total[i];
}

static void point_body(void *context, int thread, int threads) {
  const axes_job *job = context;
  const axes *a = &job->kept;
  span mine = share_of(count_of(a, 0, a->rank), thread, threads);
  place at;
  go_to(&at, a, a->rank, mine.first);
  for (long i = mine.first; i < mine.last; i++, go_on(&at, a, a->rank))
    job->y[at.offset[TO]] = (float)sum_point(job, job->x + at.offset[FROM]);
}

/// The last kept axis is cut into pieces of COLUMNS.
static void columns_body(void *context, int thread, int threads) {
  const axes_job *job = context;
  const axes *a = &job->kept;
  int last = a->rank - 1;
  long n = a->shape[last], pieces = ceil_div(n, COLUMNS), y_stride = a->strides[TO][last];
  span mine = share_of(count_of(a, 0, last) * pieces, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    place at;
    go_to(&at, a, last, item / pieces);
    long first = item % pieces * COLUMNS;
    sum_columns(
      job, job->x + at.offset[FROM] + first, job->y + at.offset[TO] + first * y_stride, min_long(COLUMNS, n - first),
      y_stride);
  }
}

void ck_sum_axes(const float *x, const long *strides, int rank, const long *shape, const int *reduced, float *y) {
  axes_job job = {.x = x, .y = y, .kept = {.views = 2}, .reduced = {.views = 1}};
  long kept_shape[MAX_RANK], kept_strides[MAX_RANK], dense[MAX_RANK];
  int kept = 0;
  for (int d = 0; d < rank; d++) {
    if (reduced[d]) {
      append_axis(&job.reduced, shape[d], &strides[d]);
    } else {
      kept_shape[kept] = shape[d];
      kept_strides[kept++] = strides[d];
    }
  }
  dense_strides(kept, kept_shape, dense);
  for (int d = 0; d < kept; d++) append_axis(&job.kept, kept_shape[d], (long[]){kept_strides[d], dense[d]});
  if (count_of(&job.kept, 0, kept) == 0) return;
  if (count_of(&job.reduced, 0, job.reduced.rank) == 0)
    return ck_fill(y, count_of(&job.kept, 0, kept), 0);
  merge_axes(&job.kept);
  merge_axes(&job.reduced);
  int columns = job.kept.strides[FROM][job.kept.rank - 1] == 1 && job.kept.shape[job.kept.rank - 1] >= 8;
  long elements = count_of(&job.kept, 0, job.kept.rank) * count_of(&job.reduced, 0, job.reduced.rank);
  ck_parallel_over(elements, columns ? columns_body : point_body, &job);
}
