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

/// One block of 16 × 16 channels that exist, of a 1×1 kernel.
CK_CLONES static void turn_weights(const weights_job *job, long plain, long blocked) {
  if (job->to_blocked)
    transpose16(job->x + plain, job->inputs, job->y + blocked, 16);
  else
    transpose16(job->x + blocked, 16, job->y + plain, job->inputs);
}

/// A block, element by element.
static void move_weights(const weights_job *job, long output_block, long input_block, long blocked_at) {
  long taps = job->taps;
  for (long o = 0; o < 16; o++)
    for (long i = 0; i < 16; i++)
      for (long tap = 0; tap < taps; tap++) {
        long output = output_block * 16 + o, input = input_block * 16 + i;
        long blocked = blocked_at + (tap * 16 + i) * 16 + o, plain = (output * job->inputs + input) * taps + tap;
        int exists = output < job->outputs && input < job->inputs;
        if (job->to_blocked)
          job->y[blocked] = exists ? job->x[plain] : 0;
        else if (exists)
          job->y[plain] = job->x[blocked];
      }
}

static void weights_body(void *context, int thread, int threads) {
  const weights_job *job = context;
  long input_blocks = ceil_div(job->inputs, 16);
  // A thread takes whole blocks of outputs: they are contiguous on both sides.
  span mine = share_of(ceil_div(job->outputs, 16), thread, threads);
  for (long output = mine.first; output < mine.last; output++)
    for (long input = 0; input < input_blocks; input++) {
      long blocked = (output * input_blocks + input) * job->taps * 256;
      if (job->taps == 1 && (output + 1) * 16 <= job->outputs && (input + 1) * 16 <= job->inputs)
        turn_weights(job, output * 16 * job->inputs + input * 16, blocked);
      else
        move_weights(job, output, input, blocked);
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
} rows_job;

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
    memcpy(y, x, (size_t)n * sizeof(float));
  }
}

void ck_copy_rows(const float *x, long x_stride, float *y, long y_stride, long rows, long n) {
  rows_job job = {x, y, x_stride, y_stride, rows, n};
  ck_parallel_over(rows * n, rows_body, &job);
}

// MARK: strided views

enum { FROM, TO };

typedef struct {
  const float *x;
  float *y;
  axes axes;  ///< views FROM of x and TO of y
} view_job;

CK_CLONES static void move_row(const float *x, long x_stride, float *y, long y_stride, long n) {
  if (x_stride == 1 && y_stride == 1)
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
    return move_row(job->x + mine.first * from, from, job->y + mine.first * to, to, mine.last - mine.first);
  }
  span mine = share_of(count_of(a, 0, last), thread, threads);
  place at;
  go_to(&at, a, last, mine.first);
  for (long row = mine.first; row < mine.last; row++, go_on(&at, a, last))
    move_row(
      job->x + at.offset[FROM], a->strides[FROM][last], job->y + at.offset[TO], a->strides[TO][last], a->shape[last]);
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
  int turns = a->rank >= 2 && a->shape[last] >= 16;
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

void ck_transpose(const float *x, float *y, int rank, const long *shape, const long *permutation) {
  long dense[MAX_RANK], strides[MAX_RANK], permuted[MAX_RANK];
  dense_strides(rank, shape, dense);
  for (int d = 0; d < rank; d++) {
    strides[d] = dense[permutation[d]];
    permuted[d] = shape[permutation[d]];
  }
  ck_gather_strided(x, strides, y, rank, permuted);
}
