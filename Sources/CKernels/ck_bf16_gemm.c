#include "ck_bf16_words.h"

#if defined(__x86_64__)
#include "ck_gemm.h"

/// B, of 16 or 32 columns, and what is fetched with each of its rows: two lines each, `half` words apart.
typedef struct {
  const ck_pair_word *b;
  long row, half;
  const float *next;
  long step, next_half;
} right_side;

/// As `tile` of ck_gemm.c, over k words.
CK_BF16_INLINE void tile(
  const int rows, const int columns, long k, const ck_pair_word *a, long a_row, long a_column, right_side right,
  result_side result) {
  __m512 sum[12][2];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++)
      sum[i][j] = result.bias ? _mm512_loadu_ps(result.bias + 16 * j) : _mm512_setzero_ps();
  if (result.continues)
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
      for (int j = 0; j < columns; j++) sum[i][j] = _mm512_loadu_ps(result.c + i * result.row + j * result.half);
  if (result.residual)
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
      for (int j = 0; j < columns; j++) sum[i][j] += _mm512_loadu_ps(result.residual + i * result.row + j * result.half);
#pragma clang loop unroll(disable)
  for (long l = 0; l < k; l++) {
    __m512bh b0 = (__m512bh)_mm512_loadu_si512(right.b), b1 = b0;
    if (columns > 1) b1 = (__m512bh)_mm512_loadu_si512(right.b + right.half);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      __m512bh s = (__m512bh)_mm512_set1_epi32((int)a[i * a_row]);
      sum[i][0] = _mm512_dpbf16_ps(sum[i][0], b0, s);
      if (columns > 1) sum[i][1] = _mm512_dpbf16_ps(sum[i][1], b1, s);
    }
    __builtin_prefetch(right.next);
    if (columns > 1) __builtin_prefetch(right.next + right.next_half);
    a += a_column;
    right.b += right.row;
    right.next += right.step;
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) {
      long at = i * result.row + j * result.half;
      v16 value = (v16)sum[i][j];
      put(result.c + at, &value, result.streams);
    }
}

/// All m rows of one strip of `columns`·16 columns.
CK_BF16_INLINE void strip(
  const int columns, long m, long k, const ck_pair_word *a, long a_row, long a_column, right_side right,
  result_side result) {
#define TILE(rows)                                                              \
  do {                                                                          \
    tile(rows, columns, k, a, a_row, a_column, right, result);      \
    i += rows;                                                                  \
    a += rows * a_row;                                                          \
    result.c += rows * result.row;                                              \
    if (result.residual) result.residual += rows * result.row;                  \
  } while (0)
  long i = 0;
  while (m - i >= 12 && m - i != 16) TILE(12);
  while (m - i >= 8) TILE(8);
  while (m - i >= 4) TILE(4);
  while (m - i >= 2) TILE(2);
  while (m - i >= 1) TILE(1);
#undef TILE
}

/// The strip of the `width` columns, 16 or 32, of one panel.
CK_BF16_INLINE void panel_strip(
  long width, long m, long k, const ck_pair_word *a, long a_row, long a_column, right_side right,
  result_side result) {
  if (width == CK_PANEL)
    strip(2, m, k, a, a_row, a_column, right, result);
  else
    strip(1, m, k, a, a_row, a_column, right, result);
}

/// Rows of B taken together: 32 columns of them, 16 KiB, stay in the first-level cache while the rows of A pass.
enum { DEPTH = 128 };

CK_BF16 void ck_bf16_gemm_fetching(
  long m, long n, long k, const ck_pair_word *a, long a_row, long a_column, const ck_pair_word *b, float *c, long c_row,
  int accumulate, const float *next, long step) {
  for (long l = 0; l < k; l += DEPTH) {
    long depth = min_long(DEPTH, k - l);
    for (long panel = 0; panel * CK_PANEL < n; panel++) {
      long width = panel_width(panel, n);
      const ck_pair_word *bp = b + panel_offset(panel, k) + l * width;
      right_side right = {bp, width, 16, (const float *)(bp + CK_AHEAD), width, 16};
      if (next) right.next = next + l * step, right.step = step;
      result_side result = {c + panel * CK_PANEL, c_row, 16, NULL, NULL, accumulate || l > 0, 0};
      panel_strip(width, m, depth, a + l * a_column, a_row, a_column, right, result);
    }
  }
}

CK_BF16 void ck_bf16_gemm_of_blocks(const ck_blocks_gemm *g) {
  const ck_pair_word *a = g->a, *b = g->b;
  for (long column = 0; column < g->n; column += CK_PANEL)
    for (long l = 0, half = g->b_block; l < g->k; l += DEPTH) {
      const ck_pair_word *bp = b + column / 16 * half + l * 16;
      right_side right = {bp, 16, half, (const float *)(bp + CK_AHEAD / 2), 16, half};
      long depth = min_long(DEPTH, g->k - l), at = column / 16 * g->c_block;
      result_side result = {
        g->c + at, g->c_row, g->c_block, g->bias && l == 0 ? g->bias + column : NULL,
        g->residual && l == 0 ? g->residual + at : NULL, l > 0, g->streams && l + depth == g->k};
      panel_strip(min_long(CK_PANEL, g->n - column), g->m, depth, a + l, g->a_row, 1, right, result);
    }
}

void ck_bf16_gemm(
  long m, long n, long k, const ck_pair_word *a, long a_row, long a_column, const ck_pair_word *b, float *c, long c_row,
  int accumulate) {
  ck_bf16_gemm_fetching(m, n, k, a, a_row, a_column, b, c, c_row, accumulate, NULL, 0);
}

// MARK: operands of 32 bits

/// 16 floats at p of which `n` exist, the others zero.
#define LOAD_SOME(p, n) ((v16)_mm512_maskz_loadu_ps((__mmask16)((1u << min_long(16, max_long(0, n))) - 1), p))

/// Rows 2l and 2l + 1 of `columns` floats, `row` apart, to a row of `columns` words for each l; of k rows, a last odd one pairs with zeros.
CK_BF16 static void pair_rows(const float *x, long k, long columns, long row, ck_pair_word *words) {
  for (long l = 0; l < k; l += 2, x += 2 * row, words += columns)
    for (long i = 0; i < columns; i += 16) {
      long some = min_long(16, columns - i);
      v16 even = LOAD_SOME(x + i, some), odd = {0};
      if (l + 1 < k) odd = LOAD_SOME(x + row + i, some);
      ck_pair_word pairs[16];
      store_paired(some == 16 ? words + i : pairs, &even, &odd);
      if (some < 16) memcpy(words + i, pairs, (size_t)some * sizeof *words);
    }
}

/// m rows of k floats, `row` apart, to rows of ⌈k/2⌉ words.
CK_BF16 static void round_rows(const float *x, long m, long k, long row, ck_pair_word *words) {
  long width = ceil_div(k, 2);
  for (long i = 0; i < m; i++, x += row, words += width)
    for (long l = 0; l < k; l += 16) {
      v16 some = LOAD_SOME(x + l, k - l);
      ck_pair_word pairs[8];
      store_rounded(k - l >= 16 ? words + l / 2 : pairs, &some);
      if (k - l < 16) memcpy(words + l / 2, pairs, (size_t)(width - l / 2) * sizeof *words);
    }
}

void ck_bf16_round_panels(long n, long k, float *b) {
  // Words are written behind what is read next.
  for (long panel = 0; panel * CK_PANEL < n; panel++) {
    long width = panel_width(panel, n);
    pair_rows(b + panel_offset(panel, k), k, width, width, (ck_pair_word *)b + panel_offset(panel, ceil_div(k, 2)));
  }
}

void ck_bf16_rounded_gemm(
  long m, long n, long k, const float *a, long a_row, long a_column, const ck_pair_word *b, float *c, long c_row,
  int accumulate, ck_pair_word *scratch) {
  long depth = ceil_div(k, 2);
  if (a_column == 1) {
    round_rows(a, m, k, a_row, scratch);
    ck_bf16_gemm(m, n, depth, scratch, depth, 1, b, c, c_row, accumulate);
  } else {
    pair_rows(a, k, m, a_column, scratch);
    ck_bf16_gemm(m, n, depth, scratch, 1, m, b, c, c_row, accumulate);
  }
}
#endif
