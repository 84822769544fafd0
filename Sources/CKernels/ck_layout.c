#include "CKernels.h"
#include "ck_axes.h"

// MARK: blocked and plain

typedef struct {
  const float *x;
  float *y;
  long samples, channels, pixels;
  int to_blocked;
} format_job;

/// One block of 16 channels of one sample, either way.
CK_CLONES static void convert_block(const format_job *job, long item) {
  long blocks = (job->channels + 15) / 16, n = item / blocks, c0 = item % blocks * 16, pixels = job->pixels;
  long channels = min_long(16, job->channels - c0), plain_at = (n * job->channels + c0) * pixels;
  long blocked_at = item * 16 * pixels;
  for (long i = 0; i < pixels; i += 16) {
    long count = min_long(16, pixels - i);
    if (count == 16 && channels == 16) {
      if (job->to_blocked)
        transpose16(job->x + plain_at + i, pixels, job->y + blocked_at + i * 16, 16);
      else
        transpose16(job->x + blocked_at + i * 16, 16, job->y + plain_at + i, pixels);
    } else if (job->to_blocked) {
      for (long k = 0; k < count; k++)
        for (long c = 0; c < 16; c++)
          job->y[blocked_at + (i + k) * 16 + c] = c < channels ? job->x[plain_at + c * pixels + i + k] : 0;
    } else {
      for (long c = 0; c < channels; c++)
        for (long k = 0; k < count; k++) job->y[plain_at + c * pixels + i + k] = job->x[blocked_at + (i + k) * 16 + c];
    }
  }
}

static void format_body(void *context, int thread, int threads) {
  const format_job *job = context;
  span mine = share_of(job->samples * ((job->channels + 15) / 16), thread, threads);
  for (long item = mine.first; item < mine.last; item++) convert_block(job, item);
}

void ck_plain_to_blocked(const float *x, float *y, long samples, long channels, long pixels) {
  format_job job = {x, y, samples, channels, pixels, 1};
  ck_parallel_over(samples * channels * pixels, format_body, &job);
}

void ck_blocked_to_plain(const float *x, float *y, long samples, long channels, long pixels) {
  format_job job = {x, y, samples, channels, pixels, 0};
  ck_parallel_over(samples * channels * pixels, format_body, &job);
}

// MARK: weights

typedef struct {
  const float *x;
  float *y;
  long outputs, inputs, taps;
  int to_blocked;
} weights_job;

static void weights_body(void *context, int thread, int threads) {
  const weights_job *job = context;
  long outputs = job->outputs, inputs = job->inputs, taps = job->taps, blocks = (inputs + 15) / 16;
  // A thread takes whole blocks of outputs: they are contiguous on both sides.
  span mine = share_of((outputs + 15) / 16, thread, threads);
  for (long o = mine.first * 16; o < mine.last * 16; o++)
    for (long i = 0; i < blocks * 16; i++)
      for (long tap = 0; tap < taps; tap++) {
        long blocked = (((o / 16 * blocks + i / 16) * taps + tap) * 16 + i % 16) * 16 + o % 16;
        long plain = (o * inputs + i) * taps + tap;
        int exists = o < outputs && i < inputs;
        if (job->to_blocked)
          job->y[blocked] = exists ? job->x[plain] : 0;
        else if (exists)
          job->y[plain] = job->x[blocked];
      }
}

void ck_weights_to_blocked(const float *w, float *blocked, long outputs, long inputs, long taps) {
  weights_job job = {w, blocked, outputs, inputs, taps, 1};
  ck_parallel_over(outputs * inputs * taps, weights_body, &job);
}

void ck_weights_to_plain(const float *blocked, float *w, long outputs, long inputs, long taps) {
  weights_job job = {blocked, w, outputs, inputs, taps, 0};
  ck_parallel_over(outputs * inputs * taps, weights_body, &job);
}

// MARK: rows

typedef struct {
  const float *x;
  float *y;
  long x_stride, y_stride, rows, n;
  int add;
} rows_job;

CK_CLONES static void add_row(const float *x, float *y, long n) {
  for (long i = 0; i < n; i++) y[i] += x[i];
}

static void rows_body(void *context, int thread, int threads) {
  const rows_job *job = context;
  // Few long rows are cut into pieces, so that every thread has work.
  enum { PIECE = 1 << 14 };
  long pieces = (job->n + PIECE - 1) / PIECE;
  span mine = share_of(job->rows * pieces, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long row = item / pieces, begin = item % pieces * PIECE, n = min_long(PIECE, job->n - begin);
    const float *x = job->x + row * job->x_stride + begin;
    float *y = job->y + row * job->y_stride + begin;
    if (job->add)
      add_row(x, y, n);
    else
      memcpy(y, x, (size_t)n * sizeof(float));
  }
}

void ck_copy_rows(const float *x, long x_stride, float *y, long y_stride, long rows, long n) {
  rows_job job = {x, y, x_stride, y_stride, rows, n, 0};
  ck_parallel_over(rows * n, rows_body, &job);
}

void ck_add_rows(const float *x, long x_stride, float *y, long y_stride, long rows, long n) {
  rows_job job = {x, y, x_stride, y_stride, rows, n, 1};
  ck_parallel_over(rows * n, rows_body, &job);
}

// MARK: strided views

enum { FROM, TO };

typedef struct {
  const float *x;
  float *y;
  axes axes;  ///< views FROM of x and TO of y
  int add;
} view_job;

CK_CLONES static void move_row(const float *x, long x_stride, float *y, long y_stride, long n, int add) {
  if (add && x_stride == 1 && y_stride == 1)
    for (long i = 0; i < n; i++) y[i] += x[i];
  else if (add)
    for (long i = 0; i < n; i++) y[i * y_stride] += x[i * x_stride];
  else if (x_stride == 1 && y_stride == 1)
    memcpy(y, x, (size_t)n * sizeof(float));
  else if (x_stride == 0 && y_stride == 1)
    for (long i = 0; i < n; i++) y[i] = *x;
  else
    for (long i = 0; i < n; i++) y[i * y_stride] = x[i * x_stride];
}

static void view_body(void *context, int thread, int threads) {
  const view_job *job = context;
  const axes *a = &job->axes;
  int last = a->rank - 1;
  if (a->rank == 1) {
    span mine = share_in_grains(a->shape[0], 64, thread, threads);
    long from = a->strides[FROM][0], to = a->strides[TO][0];
    return move_row(job->x + mine.first * from, from, job->y + mine.first * to, to, mine.last - mine.first, job->add);
  }
  span mine = share_of(count_of(a, 0, last), thread, threads);
  place at;
  go_to(&at, a, last, mine.first);
  for (long row = mine.first; row < mine.last; row++, go_on(&at, a, last))
    move_row(
      job->x + at.offset[FROM], a->strides[FROM][last], job->y + at.offset[TO], a->strides[TO][last], a->shape[last],
      job->add);
}

/// A plane of a permutation: x is contiguous along its rows' index i, y along j.
CK_CLONES static void turn_strip(const float *x, long x_stride, float *y, long y_stride, long rows, long columns) {
  long j = 0;
  if (rows == 16)
    for (; j + 16 <= columns; j += 16) transpose16(x + j * x_stride, x_stride, y + j, y_stride);
  for (; j < columns; j++)
    for (long i = 0; i < rows; i++) y[i * y_stride + j] = x[j * x_stride + i];
}

/// The last two axes are that plane; strips of 16 rows.
static void turn_body(void *context, int thread, int threads) {
  const view_job *job = context;
  const axes *a = &job->axes;
  int outer = a->rank - 2;
  long rows = a->shape[outer], columns = a->shape[outer + 1], strips = (rows + 15) / 16;
  span mine = share_of(count_of(a, 0, outer) * strips, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long i = item % strips * 16, y_stride = a->strides[TO][outer];
    place at;
    go_to(&at, a, outer, item / strips);
    turn_strip(
      job->x + at.offset[FROM] + i, a->strides[FROM][outer + 1], job->y + at.offset[TO] + i * y_stride, y_stride,
      min_long(16, rows - i), columns);
  }
}

static void move_views(view_job *job) {
  axes *a = &job->axes;
  for (int d = 0; d < a->rank; d++)
    if (a->shape[d] == 0) return;
  merge_axes(a);
  int last = a->rank - 1;
  int turns = !job->add && a->rank >= 2 && a->shape[last] >= 16;
  turns = turns && a->strides[TO][last] == 1 && a->strides[FROM][last] != 1;
  for (int d = 0; d < last && turns; d++)
    if (a->strides[FROM][d] == 1 && a->shape[d] >= 16) {
      // Bring axis d next to the last one: the order of the outer axes does not matter.
      axes moved = {.views = 2};
      for (int e = 0; e < last; e++)
        if (e != d) append_axis(&moved, a->shape[e], (long[]){a->strides[FROM][e], a->strides[TO][e]});
      append_axis(&moved, a->shape[d], (long[]){a->strides[FROM][d], a->strides[TO][d]});
      append_axis(&moved, a->shape[last], (long[]){a->strides[FROM][last], a->strides[TO][last]});
      *a = moved;
      return ck_parallel(turn_body, job);
    }
  ck_parallel_over(count_of(a, 0, a->rank), view_body, job);
}

void ck_gather_strided(const float *x, const long *strides, float *y, int rank, const long *shape) {
  view_job job = {.x = x, .y = y, .axes = {.views = 2}};
  long dense[MAX_RANK];
  dense_strides(rank, shape, dense);
  for (int d = 0; d < rank; d++) append_axis(&job.axes, shape[d], (long[]){strides[d], dense[d]});
  move_views(&job);
}

void ck_scatter_strided(const float *x, float *y, const long *strides, int rank, const long *shape, int accumulate) {
  view_job job = {.x = x, .y = y, .axes = {.views = 2}, .add = accumulate};
  long dense[MAX_RANK];
  dense_strides(rank, shape, dense);
  for (int d = 0; d < rank; d++) append_axis(&job.axes, shape[d], (long[]){dense[d], strides[d]});
  move_views(&job);
}

void ck_transpose(const float *x, float *y, int rank, const long *shape, const long *permutation) {
  long dense[MAX_RANK], strides[MAX_RANK], permuted[MAX_RANK];
  dense_strides(rank, shape, dense);
  for (int d = 0; d < rank; d++) {
    strides[d] = dense[permutation[d]];
    permuted[d] = shape[permutation[d]];
  }
  ck_gather_strided(x, strides, y, rank, permuted);
}

// MARK: enlargement and pooling

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

static void enlarge_backward_body(void *context, int thread, int threads) {
  const resize_job *job = context;
  long row = job->width * job->lanes, wide = row * job->factor;
  span mine = share_of(job->planes * job->height, thread, threads);
  for (long h = mine.first; h < mine.last; h++)
    sum_blocks(job->x + h * job->factor * wide, wide, job->y + h * row, job->width, job->factor, job->lanes, 1);
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

/// A row of dx from its row of dy, NULL below the last whole block.
CK_CLONES static void spread_row(const resize_job *job, const float *dy, float *dx) {
  long k = job->factor, whole = job->width / k * k, lanes = job->lanes;
  float scale = 1.f / (float)(k * k);
  if (!dy) whole = 0;
  for (long w = 0; w < whole; w += k)
    for (long j = 0; j < k; j++) {
      if (lanes == 16)
        store16(dx + (w + j) * 16, load16(dy + w / k * 16) * scale);
      else
        dx[w + j] = dy[w / k] * scale;
    }
  memset(dx + whole * lanes, 0, (size_t)((job->width - whole) * lanes) * sizeof(float));
}

static void pool_backward_body(void *context, int thread, int threads) {
  const resize_job *job = context;
  long k = job->factor, rows = job->height / k, columns = job->width / k, row = job->width * job->lanes;
  span mine = share_of(job->planes * job->height, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    long plane = item / job->height, h = item % job->height / k;
    spread_row(job, h < rows ? job->x + (plane * rows + h) * columns * job->lanes : NULL, job->y + item * row);
  }
}

void ck_upsample_nearest(
  const float *x, float *y, long planes, long height, long width, long factor, ck_format format) {
  resize_job job = make_resize(x, y, planes, height, width, factor, format);
  ck_parallel(enlarge_body, &job);
}

void ck_upsample_nearest_backward(
  const float *dy, float *dx, long planes, long height, long width, long factor, ck_format format) {
  resize_job job = make_resize(dy, dx, planes, height, width, factor, format);
  ck_parallel(enlarge_backward_body, &job);
}

void ck_average_pool(const float *x, float *y, long planes, long height, long width, long k, ck_format format) {
  resize_job job = make_resize(x, y, planes, height, width, k, format);
  ck_parallel(pool_body, &job);
}

void ck_average_pool_backward(
  const float *dy, float *dx, long planes, long height, long width, long k, ck_format format) {
  resize_job job = make_resize(dy, dx, planes, height, width, k, format);
  ck_parallel(pool_backward_body, &job);
}
