/// Changes of layout, and the operators that only move or average pixels.
#pragma once

/// How a [N, C, H·W] tensor lies in memory.
typedef enum {
  CK_PLAIN = 0,    ///< [N][C][H·W]
  CK_BLOCKED = 1,  ///< [N][⌈C/16⌉][H·W][16], padded lanes zero
} ck_format;

/// A blocked tensor whose channels are a concatenation: of each sample the first `first` at x, the others at `rest`. Where that is NULL, all
/// are at x.
typedef struct {
  const float *x, *rest;
  long first;
} ck_parts;

/// blocked ← plain: x [N][C][pixels] to y [N][⌈C/16⌉][pixels][16]. Padded lanes become zero.
void ck_plain_to_blocked(const float *x, float *y, long samples, long channels, long pixels);

/// plain ← blocked: x [N][⌈C/16⌉][pixels][16] to y [N][C][pixels]. Padded lanes are dropped.
void ck_blocked_to_plain(const float *x, float *y, long samples, long channels, long pixels);

/// OIhw16i16o ← OIHW: w [O][I][taps] to [⌈O/16⌉][⌈I/16⌉][taps][16 i][16 o], `taps` = kernel height · width. Padded
/// lanes become zero.
void ck_weights_to_blocked(const float *w, float *blocked, long outputs, long inputs, long taps);

/// OIHW ← OIhw16i16o, the inverse of `ck_weights_to_blocked`.
void ck_weights_to_plain(const float *blocked, float *w, long outputs, long inputs, long taps);

/// Copies rows of x into a wider y, for concatenation and its gradient: y[r·y_stride + i] = x[r·x_stride + i], 
/// r < rows, i < n.
/// Channel concat: rows = samples, n = channels·pixels of the part, strides those of the whole and of the part (in
/// blocked form when the part's channels are a multiple of 16, or it is the last part).
void ck_copy_rows(const float *x, long x_stride, float *y, long y_stride, long rows, long n);

/// y ← x with axes permuted: y's axis d is x's axis `permutation[d]`. x is dense with `shape`; rank ≤ 6.
void ck_transpose(const float *x, float *y, int rank, const long *shape, const long *permutation);

/// Copies a strided view into a dense y of `shape`: y[i…] = x[Σ i_d·strides[d]]; strides may be zero
/// (broadcast) or negative. rank ≤ 6.
void ck_gather_strided(const float *x, const long *strides, float *y, int rank, const long *shape);

/// Planes are N·C (plain) or N·⌈C/16⌉ (blocked).

/// Nearest-neighbour enlargement by `factor`: x [planes][H][W](16) to y [planes][H·f][W·f](16).
void ck_upsample_nearest(const float *x, float *y, long planes, long height, long width, long factor, ck_format format);

/// Mean over k×k blocks, stride k: x [planes][H][W](16) to y [planes][⌊H/k⌋][⌊W/k⌋](16); rows and columns left over are
/// dropped.
void ck_average_pool(const float *x, float *y, long planes, long height, long width, long k, ck_format format);
