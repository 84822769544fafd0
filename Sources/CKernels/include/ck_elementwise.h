/// Elementwise operators, broadcasts, sums.
#pragma once

/// y = f(x), with parameters a, b where named. NaN and ±∞ give what libm and PyTorch give.
typedef enum {
  CK_NEG, CK_EXP, CK_LOG, CK_SQRT, CK_RSQRT, CK_SQUARE, CK_ABS, CK_RECIPROCAL,
  CK_TANH, CK_SIGMOID, CK_SILU, CK_MISH, CK_GELU,  ///< gelu: x·Φ(x), by erf
  CK_RELU, CK_SOFTPLUS,                            ///< softplus: log(1 + eˣ)
  CK_STEP,                                         ///< 1 where x > 0, else 0
  CK_ERF, CK_ERFC, CK_SIN, CK_COS, CK_EXPM1, CK_LOG1P,
  CK_SCALE,        ///< a·x
  CK_ADD_SCALAR,   ///< x + a
  CK_CLAMP,        ///< min(max(x, a), b)
} ck_unary;

typedef enum {
  CK_ADD, CK_SUB, CK_MUL, CK_DIV, CK_MAX, CK_MIN,  ///< max and min pass NaN on
} ck_binary;

/// y[i] = f(x[i]), i < n. y may be x.
void ck_unary_apply(ck_unary op, const float *x, float *y, long n, float a, float b);

/// y[i] = op(left[i], right[i]), i < n. y may be either.
void ck_binary_apply(ck_binary op, const float *left, const float *right, float *y, long n);

/// y[i…] = op(left[Σ i·left_strides], right[Σ i·right_strides]) over a dense y of `shape`; a stride of 0 broadcasts.
/// rank ≤ 6 before, ≤ 4 after merging axes is fast; y may be an operand whose strides are y's own.
void ck_binary_broadcast(
  ck_binary op, const float *left, const long *left_strides, const float *right, const long *right_strides, float *y,
  int rank, const long *shape);

/// y[i] += x[i].
void ck_accumulate(const float *x, float *y, long n);

/// y[i] = value.
void ck_fill(float *y, long n, float value);

/// Σ x[i]², accumulated in double over short FP32 blocks: of one parameter's gradient, its part of the squared norm.
double ck_sum_of_squares(const float *x, long n);

/// y[c] = Σ over samples and pixels of x, plain (blocked 0) or blocked (1): a convolution's bias gradient. y has
/// `channels` elements.
void ck_channel_sums(const float *x, float *y, long samples, long channels, long pixels, int blocked);

/// Sums over the axes d with `reduced[d]` ≠ 0 of x, a view of `shape` with `strides`; y is dense over the other axes in
/// order. rank ≤ 6.
void ck_sum_axes(const float *x, const long *strides, int rank, const long *shape, const int *reduced, float *y);
