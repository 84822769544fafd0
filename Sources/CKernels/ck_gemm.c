#include "ck_gemm.h"

#pragma clang fp contract(fast)

/// A: element (i, l) at a[i·row + l·column], and after every `run` of l so many floats more are passed over. Where `next` is not NULL, with every
/// l a line there is fetched, and so many more passed over.
typedef struct {
  const float *a;
  long row, column, run, jump;
  const float *next;
  long next_jump;
} left_side;

/// B, of 16 or 32 columns, and what is fetched with each of its rows: two lines each, `half` floats apart.
typedef struct {
  const float *b;
  long row, half;
  const float *next;
  long step, next_half;
} right_side;

/// C tile (rows × 16·columns) = or += A·B over k; `rows` ≤ 12 and `columns` ≤ 2 are constants where this is inlined, so
/// that the accumulators live in registers: 12 × 2 of AVX-512's 32 leave room for two of B and the broadcast of A. With every row of B
/// what comes next is fetched; and first C, where it is far.
CK_INLINE void tile(
  const int rows, const int columns, const int far, const int fetches, long k, left_side left, right_side right,
  result_side result, int accumulate) {
  v16 sum[12][2];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) sum[i][j] = result.bias ? load16(result.bias + 16 * j) : (v16){0};
  if (result.continues)
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
      for (int j = 0; j < columns; j++) sum[i][j] = load16(result.c + i * result.row + j * result.half);
  if (result.residual)
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
      for (int j = 0; j < columns; j++) sum[i][j] += load16(result.residual + i * result.row + j * result.half);
#pragma clang loop unroll(full)
  for (int i = 0; far && i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) __builtin_prefetch(result.c + i * result.row + j * result.half, 1);
  for (long l = 0; l < k; l += left.run, left.a += left.jump, left.next += left.next_jump)
#pragma clang loop unroll(disable)
    for (long end = l + left.run, at = l; at < end; at++) {
      v16 b0 = load16(right.b), b1 = columns > 1 ? load16(right.b + right.half) : b0;
#pragma clang loop unroll(full)
      for (int i = 0; i < rows; i++) {
        float s = left.a[i * left.row];
        sum[i][0] += s * b0;
        if (columns > 1) sum[i][1] += s * b1;
      }
      __builtin_prefetch(right.next);
      if (columns > 1) __builtin_prefetch(right.next + right.next_half);
      if (fetches) __builtin_prefetch(left.next), left.next += 16;
      left.a += left.column;
      right.b += right.row;
      right.next += right.step;
    }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) {
      long at = i * result.row + j * result.half;
      v16 value = accumulate ? load16(result.c + at) + sum[i][j] : sum[i][j];
      put(result.c + at, &value, result.streams);
    }
}

/// All m rows of one strip of `columns`·16 columns. The first strip of a far A fetches its next rows, once B is in the first-level cache.
CK_INLINE void strip(
  const int tallest, const int columns, const int far, const int fetches, int is_first, long m, long k, left_side left,
  right_side right, result_side result, int accumulate) {
#define TILES(rows, condition)                                                         \
  while (condition) {                                                                  \
    tile(rows, columns, far, fetches, k, left, right, result, accumulate);             \
    i += rows;                                                                         \
    left.a += rows * left.row;                                                         \
    if (fetches) left.next += rows * left.row;                                         \
    result.c += rows * result.row;                                                     \
    if (result.residual) result.residual += rows * result.row;                         \
    if (far && is_first) right.next = left.a + tallest * left.row, right.step = left.column; \
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

/// The strip of the `width` columns, 16 or 32, of one panel.
CK_INLINE void panel_strip(
  const int far, const int fetches, int is_first, long width, long m, long k, left_side left, right_side right, result_side result,
  int accumulate) {
  if (width == CK_PANEL)
    strip(12, 2, far, fetches, is_first, m, k, left, right, result, accumulate);
  else
    strip(12, 1, far, fetches, is_first, m, k, left, right, result, accumulate);
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
      right_side right = {bp, width, 16, bp + CK_AHEAD, width, 16};
      if (next) right.next = next + l * step, right.step = step;
      panel_strip(
        far, 0, panel == 0, width, m, depth, (left_side){a + l * a_column, a_row, a_column, depth, 0, NULL, 0}, right,
        (result_side){c + panel * CK_PANEL, c_row, 16, NULL, NULL, 0, 0}, add);
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
      right_side right = {bp, width, 16, bp + CK_AHEAD, width, 16};
      if (next) right.next = next + l * step, right.step = step;
      strip(
        6, 1, far, 0, column == 0, m, depth, (left_side){a + l * a_column, a_row, a_column, depth, 0, NULL, 0}, right,
        (result_side){c + column, c_row, 16, NULL, NULL, 0, 0}, add);
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

// MARK: B, and A and C, in blocks of 16

/// `width` columns from `column` on. However B's rows are taken, each sum is one chain, so that it does not depend on it.
CK_INLINE void block_strip(const int wide, const int fetches, long width, long column, const ck_blocks_gemm *g) {
  long run = g->a_block ? 16 : 0, k = g->k, half = g->b_block;
  for (long l = 0; l < k; l += CK_DEPTH) {
    long depth = min_long(CK_DEPTH, k - l);
    const float *a = g->a, *b = (const float *)g->b + column / 16 * half + l * 16;
    left_side left = {a + (run ? l / 16 * g->a_block : l * g->a_column), g->a_row, g->a_column, run ? run : depth, run ? g->a_block - 16 : 0,
                      NULL, 0};
    if (fetches) left.next = left.a + 12 * 16, left.next_jump = g->a_block - 16 * 16;
    right_side right = {b, 16, half, b + CK_AHEAD / 2, 16, half};
    long at = column / 16 * g->c_block;
    result_side result = {
      g->c + at, g->c_row, g->c_block, g->bias && l == 0 ? g->bias + column : NULL,
      g->residual && l == 0 ? g->residual + at : NULL, l > 0 || g->continues, g->streams && l + depth == k};
    if (wide)
      panel_strip(fetches, fetches, 0, width, g->m, depth, left, right, result, g->accumulate);
    else
      strip(6, 1, 0, 0, 0, g->m, depth, left, right, result, g->accumulate);
  }
}

CK_CLONES static void wide_blocks(const ck_blocks_gemm *g) {
  for (long panel = 0; panel * CK_PANEL < g->n; panel++)
    if (panel == 0 && g->a_block)
      block_strip(1, 1, panel_width(panel, g->n), panel * CK_PANEL, g);
    else
      block_strip(1, 0, panel_width(panel, g->n), panel * CK_PANEL, g);
}

CK_CLONES static void narrow_blocks(const ck_blocks_gemm *g) {
  for (long column = 0; column < g->n; column += 16) block_strip(0, 0, 16, column, g);
}

void ck_gemm_of_blocks(const ck_blocks_gemm *g) { (has_wide_registers() ? wide_blocks : narrow_blocks)(g); }
