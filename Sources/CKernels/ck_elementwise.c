#include "CKernels.h"
#include "ck_axes.h"

// No contraction here: x·a + b gives what the two operators give in turn, whatever the instruction set.
#pragma clang fp contract(off)

// MARK: unary

typedef struct {
  ck_unary op;
  const float *x;
  float *y;
  long n;
  float a, b;
} unary_job;

static float gelu(float x) { return 0.5f * x * erfcf(-x * 0.707106781186547524f); }
static float softplus(float x) { return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); }

/// x·tanh(softplus(x)) = x·(t² + 2t)/(t² + 2t + 2), t = eˣ.
static float mish(float x) {
  if (x > 20) return x;
  float t = expf(x), s = t * (t + 2);
  return x * (s / (s + 2));
}

CK_CLONES static void unary_range(const unary_job *job, long first, long last) {
  const float *xs = job->x + first;
  float *ys = job->y + first, a = job->a, b = job->b;
  long n = last - first;
// The expression on sixteen lanes; the tail goes through a padded vector.
#define VECTOR(op, expression)                                          \
  case op: {                                                            \
    long i = 0;                                                         \
    for (; i + 16 <= n; i += 16) {                                      \
      v16 x = load16(xs + i);                                           \
      store16(ys + i, expression);                                      \
    }                                                                   \
    if (i < n) {                                                        \
      v16 x, y;                                                         \
      load_part(&x, xs + i, n - i, 1);                                  \
      y = expression;                                                   \
      store_part(ys + i, n - i, &y);                                    \
    }                                                                   \
    return;                                                             \
  }
#define SCALAR(op, expression)        \
  case op:                            \
    for (long i = 0; i < n; i++) {    \
      float x = xs[i];                \
      ys[i] = expression;             \
    }                                 \
    return;
  const v16 zero = {0}, one = zero + 1;
  switch (job->op) {
    VECTOR(CK_NEG, -x)
    VECTOR(CK_EXP, exp16(x))
    VECTOR(CK_SQRT, __builtin_elementwise_sqrt(x))
    VECTOR(CK_RSQRT, 1.f / __builtin_elementwise_sqrt(x))
    VECTOR(CK_SQUARE, x *x)
    VECTOR(CK_ABS, (v16)((i16)x & 0x7FFFFFFF))
    VECTOR(CK_RECIPROCAL, 1.f / x)
    VECTOR(CK_SIGMOID, sigmoid16(x))
    VECTOR(CK_SILU, x / (1.f + exp16(-x)))
    VECTOR(CK_RELU, select16(x < zero, zero, x))
    VECTOR(CK_STEP, (v16)((x > zero) & (i16)one))
    VECTOR(CK_SCALE, x *a)
    VECTOR(CK_ADD_SCALAR, x + a)
    VECTOR(CK_CLAMP, clamp16(x, a, b))
    SCALAR(CK_LOG, logf(x))
    SCALAR(CK_TANH, tanhf(x))
    SCALAR(CK_MISH, mish(x))
    SCALAR(CK_GELU, gelu(x))
    SCALAR(CK_SOFTPLUS, softplus(x))
    SCALAR(CK_ERF, erff(x))
    SCALAR(CK_ERFC, erfcf(x))
    SCALAR(CK_SIN, sinf(x))
    SCALAR(CK_COS, cosf(x))
    SCALAR(CK_EXPM1, expm1f(x))
    SCALAR(CK_LOG1P, log1pf(x))
  }
#undef VECTOR
#undef SCALAR
}

static void unary_body(void *context, int thread, int threads) {
  const unary_job *job = context;
  span mine = share_in_grains(job->n, 64, thread, threads);
  unary_range(job, mine.first, mine.last);
}

void ck_unary_apply(ck_unary op, const float *x, float *y, long n, float a, float b) {
  unary_job job = {op, x, y, n, a, b};
  ck_parallel_over(n, unary_body, &job);
}

// MARK: binary

/// A row of y, contiguous; the operands' strides are 0 or 1 in the fast loops, anything in the last.
CK_CLONES static void binary_row(
  ck_binary op, const float *left, long left_stride, const float *right, long right_stride, float *ys, long n) {
#define LOOP(left_load, right_load, expression) \
  for (; i + 16 <= n; i += 16) {                \
    v16 l = left_load, r = right_load;          \
    store16(ys + i, expression);                \
  }
#define CASE(op, vector, scalar)                                           \
  case op: {                                                               \
    long i = 0;                                                            \
    if (left_stride == 1 && right_stride == 1) {                           \
      LOOP(load16(left + i), load16(right + i), vector)                    \
    } else if (left_stride == 1 && right_stride == 0) {                    \
      v16 constant = splat16(*right);                                      \
      LOOP(load16(left + i), constant, vector)                             \
    } else if (left_stride == 0 && right_stride == 1) {                    \
      v16 constant = splat16(*left);                                       \
      LOOP(constant, load16(right + i), vector)                            \
    }                                                                      \
    for (; i < n; i++) {                                                   \
      float l = left[i * left_stride], r = right[i * right_stride];        \
      ys[i] = scalar;                                                      \
    }                                                                      \
    return;                                                                \
  }
// One expression serves for both.
#define BOTH(op, expression) CASE(op, expression, expression)
  switch (op) {
    BOTH(CK_ADD, l + r)
    BOTH(CK_SUB, l - r)
    BOTH(CK_MUL, l *r)
    BOTH(CK_DIV, l / r)
    // Where a comparison is false because l is NaN, l is taken; because r is, r (NaN ≠ NaN).
    CASE(CK_MAX, select16((l < r) | (r != r), r, l), l < r || r != r ? r : l)
    CASE(CK_MIN, select16((l > r) | (r != r), r, l), l > r || r != r ? r : l)
  }
#undef LOOP
#undef CASE
#undef BOTH
}

enum { LEFT, RIGHT, OUT };

typedef struct {
  ck_binary op;
  const float *left, *right;
  float *y;
  axes axes;  ///< views LEFT, RIGHT, OUT
} binary_job;

static void binary_body(void *context, int thread, int threads) {
  const binary_job *job = context;
  const axes *a = &job->axes;
  int last = a->rank - 1;
  long left_stride = a->strides[LEFT][last], right_stride = a->strides[RIGHT][last];
  if (a->rank == 1) {
    span mine = share_in_grains(a->shape[0], 64, thread, threads);
    return binary_row(
      job->op, job->left + mine.first * left_stride, left_stride, job->right + mine.first * right_stride, right_stride,
      job->y + mine.first, mine.last - mine.first);
  }
  span mine = share_of(count_of(a, 0, last), thread, threads);
  place at;
  go_to(&at, a, last, mine.first);
  for (long row = mine.first; row < mine.last; row++, go_on(&at, a, last))
    binary_row(
      job->op, job->left + at.offset[LEFT], left_stride, job->right + at.offset[RIGHT], right_stride,
      job->y + at.offset[OUT], a->shape[last]);
}

void ck_binary_broadcast(
  ck_binary op, const float *left, const long *left_strides, const float *right, const long *right_strides, float *y,
  int rank, const long *shape) {
  binary_job job = {op, left, right, y, .axes = {.views = 3}};
  long dense[MAX_RANK];
  dense_strides(rank, shape, dense);
  for (int d = 0; d < rank; d++) {
    if (shape[d] == 0) return;
    append_axis(&job.axes, shape[d], (long[]){left_strides[d], right_strides[d], dense[d]});
  }
  merge_axes(&job.axes);
  // A single element has no stride of its own: y's rows must be contiguous.
  if (job.axes.rank == 1 && job.axes.shape[0] == 1) job.axes.strides[OUT][0] = 1;
  ck_parallel_over(count_of(&job.axes, 0, job.axes.rank), binary_body, &job);
}

void ck_binary_apply(ck_binary op, const float *left, const float *right, float *y, long n) {
  ck_binary_broadcast(op, left, (long[]){1}, right, (long[]){1}, y, 1, &n);
}

// MARK: other maps

typedef struct {
  const float *x;
  float *y;
  long n;
  float value;
} map_job;

CK_CLONES static void accumulate_range(const map_job *job, long first, long last) {
  const float *x = job->x;
  float *y = job->y;
  for (long i = first; i < last; i++) y[i] += x[i];
}

CK_CLONES static void fill_range(const map_job *job, long first, long last) {
  for (long i = first; i < last; i++) job->y[i] = job->value;
}

#define BODY(name)                                                  \
  static void name##_body(void *context, int thread, int threads) { \
    const map_job *job = context;                                   \
    span mine = share_in_grains(job->n, 64, thread, threads);       \
    name##_range(job, mine.first, mine.last);                       \
  }
BODY(accumulate)
BODY(fill)
#undef BODY

void ck_accumulate(const float *x, float *y, long n) {
  map_job job = {.x = x, .y = y, .n = n};
  ck_parallel_over(n, accumulate_body, &job);
}

void ck_fill(float *y, long n, float value) {
  map_job job = {.y = y, .n = n, .value = value};
  ck_parallel_over(n, fill_body, &job);
}
