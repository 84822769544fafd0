#include "ck_gemm.h"

#pragma clang fp contract(fast)

/// C tile (rows × 16·columns) = or += A·B over k; `rows` ≤ 12 and `columns` ≤ 2 are constants where this is inlined, so
/// that the accumulators live in registers: 12 × 2 of AVX-512's 32 leave room for two of B and the broadcast of A. With every row of B
/// `step` floats of what comes next are fetched; and first C, where it is far.
CK_INLINE void tile(
  const int rows, const int columns, const int far, long k, const float *a, long a_row, long a_column, const float *b,
  long b_row, float *c, long c_row, int accumulate, const float *next, long step) {
  v16 sum[12][2];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) sum[i][j] = (v16){0};
#pragma clang loop unroll(full)
  for (int i = 0; far && i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) __builtin_prefetch(c + i * c_row + 16 * j, 1);
#pragma clang loop unroll(disable)
  for (long l = 0; l < k; l++) {
    v16 b0 = load16(b), b1 = columns > 1 ? load16(b + 16) : b0;
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      float s = a[i * a_row];
      sum[i][0] += s * b0;
      if (columns > 1) sum[i][1] += s * b1;
    }
    __builtin_prefetch(next);
    if (columns > 1) __builtin_prefetch(next + 16);
    a += a_column;
    b += b_row;
    next += step;
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) {
      float *p = c + i * c_row + 16 * j;
      store16(p, accumulate ? load16(p) + sum[i][j] : sum[i][j]);
    }
}

/// All m rows of one strip of `columns`·16 columns. The first strip of a far A fetches its next rows, once B is in the first-level cache.
CK_INLINE void strip(
  const int tallest, const int columns, const int far, int is_first, long m, long k, const float *a, long a_row,
  long a_column, const float *b, long b_row, float *c, long c_row, int accumulate, const float *next, long step) {
#define TILES(rows, condition)                                                                               \
  while (condition) {                                                                                        \
    tile(                                                                                                    \
      rows, columns, far, k, a + i * a_row, a_row, a_column, b, b_row, c + i * c_row, c_row, accumulate, next, \
      step);                                                                                                 \
    i += rows;                                                                                               \
    if (far && is_first) next = a + (i + tallest) * a_row, step = a_column;                                  \
  }
  long i = 0;
  if (tallest == 12) TILES(12, m - i >= 12 && m - i != 16)
  if (tallest >= 8) TILES(8, m - i >= 8)
  if (tallest == 6) TILES(6, m - i >= 6)
  TILES(4, m - i >= 4)
  TILES(2, m - i >= 2)
  TILES(1, m - i >= 1)
#undef TILES
}

CK_INLINE void by_panels(
  const int far, long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c,
  long c_row, int accumulate, const float *next, long step) {
  for (long l = 0; l < k; l += CK_DEPTH) {
    long depth = min_long(CK_DEPTH, k - l);
    int add = accumulate || l > 0;
    for (long panel = 0; panel * CK_PANEL < n; panel++) {
      long width = panel_width(panel, n);
      const float *bp = b + panel_offset(panel, k) + l * width;
      float *cp = c + panel * CK_PANEL;
      const float *fetched = next ? next + l * step : bp + CK_AHEAD;
      long pace = next ? step : width;
      const float *ap = a + l * a_column;
      if (width == 32)
        strip(12, 2, far, panel == 0, m, depth, ap, a_row, a_column, bp, width, cp, c_row, add, fetched, pace);
      else
        strip(12, 1, far, panel == 0, m, depth, ap, a_row, a_column, bp, width, cp, c_row, add, fetched, pace);
    }
  }
}

/// For 16 registers of 8 (AVX2) or 4 floats, and NEON's 32 of 4: 6 × 1 accumulators. `-DCK_NARROW` takes it everywhere,
/// to test it.
CK_INLINE void by_columns(
  const int far, long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c,
  long c_row, int accumulate, const float *next, long step) {
  for (long l = 0; l < k; l += CK_DEPTH) {
    long depth = min_long(CK_DEPTH, k - l);
    int add = accumulate || l > 0;
    for (long column = 0; column < n; column += 16) {
      long panel = column / CK_PANEL, width = panel_width(panel, n);
      const float *bp = b + panel_offset(panel, k) + l * width + column % CK_PANEL;
      const float *fetched = next ? next + l * step : bp + CK_AHEAD;
      long pace = next ? step : width;
      const float *ap = a + l * a_column;
      strip(6, 1, far, column == 0, m, depth, ap, a_row, a_column, bp, width, c + column, c_row, add, fetched, pace);
    }
  }
}

/// Each for several processors, for operands that are near and for such as are far.
#define PRODUCT(name, order, far)                                                                            \
  CK_CLONES static void name(                                                                                \
    long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c, long c_row, \
    int accumulate, const float *next, long step) {                                                          \
    order(far, m, n, k, a, a_row, a_column, b, c, c_row, accumulate, next, step);                            \
  }
PRODUCT(wide, by_panels, 0)
PRODUCT(wide_far, by_panels, 1)
PRODUCT(narrow, by_columns, 0)
PRODUCT(narrow_far, by_columns, 1)
#undef PRODUCT

static void multiply(
  int far, long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c, long c_row,
  int accumulate, const float *next, long step) {
  if (k == 0) {
    if (!accumulate)
      for (long i = 0; i < m; i++) memset(c + i * c_row, 0, (size_t)n * sizeof(float));
    return;
  }
  (has_wide_registers() ? far ? wide_far : wide : far ? narrow_far : narrow)(
    m, n, k, a, a_row, a_column, b, c, c_row, accumulate, next, step);
}

void ck_gemm(
  long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c, long c_row,
  int accumulate) {
  multiply(0, m, n, k, a, a_row, a_column, b, c, c_row, accumulate, NULL, 0);
}

void ck_gemm_fetching(
  long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c, long c_row,
  int accumulate, const float *next, long step) {
  multiply(0, m, n, k, a, a_row, a_column, b, c, c_row, accumulate, next, step);
}

void ck_gemm_far(
  long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c, long c_row,
  int accumulate) {
  multiply(1, m, n, k, a, a_row, a_column, b, c, c_row, accumulate, NULL, 0);
}
