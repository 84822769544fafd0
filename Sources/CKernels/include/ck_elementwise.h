/// Elementwise operators, broadcasts, sums.
#pragma once

/// y = f(x), with parameters a, b where named. NaN and ±∞ give what libm and PyTorch give.
typedef enum {
  CK_NEG, CK_EXP, CK_LOG, CK_SQRT, CK_RSQRT, CK_SQUARE, CK_ABS, CK_RECIPROCAL,
  CK_TANH, CK_SIGMOID, CK_SILU, CK_MISH, CK_GELU,  ///< gelu: x·Φ(x), by erf
  CK_RELU, CK_SOFTPLUS,                            ///< softplus: log(1 + eˣ)
  CK_STEP,                                         ///< 1 where x > 0, else 0
  CK_SIGN, CK_ERF, CK_ERFC, CK_SIN, CK_COS, CK_EXPM1, CK_LOG1P, CK_FLOOR, CK_ROUND,  ///< round: half to even
  CK_SCALE,        ///< a·x
  CK_ADD_SCALAR,   ///< x + a
  CK_AFFINE,       ///< a·x + b
  CK_CLAMP,        ///< min(max(x, a), b)
  CK_POWER,        ///< xᵃ
  CK_SILU_SLOPE,   ///< d silu/dx
} ck_unary;

typedef enum {
  CK_ADD, CK_SUB, CK_MUL, CK_DIV, CK_MAX, CK_MIN,        ///< max and min pass NaN on
  CK_POW, CK_LESS, CK_LESS_EQUAL, CK_EQUAL,              ///< comparisons give 1 or 0
  CK_SILU_GRADIENT,                                      ///< left · d silu/dx (right)
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

/// y[i] = condition[i] ≠ 0 ? left[i] : right[i].
void ck_select(const float *condition, const float *left, const float *right, float *y, long n);

/// y[i] += x[i].
void ck_accumulate(const float *x, float *y, long n);

/// y[i] += a·x[i].
void ck_accumulate_scaled(const float *x, float a, float *y, long n);

/// y[i] = Σ_k coefficients[k]·x[k][i]: one pass for the updates of samplers. terms ≤ 8; y may be one of the x.
void ck_linear_combination(const float *const *x, const float *coefficients, int terms, float *y, long n);

/// y[i] = value.
void ck_fill(float *y, long n, float value);

/// Σ x[i], accumulated in double over short FP32 blocks.
double ck_sum(const float *x, long n);

/// Σ x[i]², accumulated in double: the squared norm of a gradient arena.
double ck_sum_of_squares(const float *x, long n);

/// y[r] = Σ_i x[r][i], x [rows][n].
void ck_row_sums(const float *x, float *y, long rows, long n);

/// y[i] = Σ_r x[r][i], x [rows][n].
void ck_column_sums(const float *x, float *y, long rows, long n);

/// y[c] = Σ over samples and pixels of x, plain (blocked 0) or blocked (1): a convolution's bias gradient. y has
/// `channels` elements.
void ck_channel_sums(const float *x, float *y, long samples, long channels, long pixels, int blocked);

typedef enum { CK_REDUCE_SUM, CK_REDUCE_MAX, CK_REDUCE_MIN } ck_reduction;

/// Reduces the axes d with `reduced[d]` ≠ 0 of x, a view of `shape` with `strides`; y is dense over the remaining axes
/// in order. rank ≤ 6.
void ck_reduce(
  ck_reduction op, const float *x, const long *strides, int rank, const long *shape, const int *reduced, float *y);
