/// Weights that are transformed where they are used: into U of a panel of outputs, or, for up to four tiles, in registers alone.
#pragma once
#include "ck_gemm.h"
#include "ck_winograd_maps.h"

#pragma clang fp contract(fast)

/// U[6][inputs][width] at the six points of row `row`, a constant where this is inlined.
CK_INLINE void transform_row(const int row, const float *w, long inputs, long width, float *u, long stride) {
  for (long half = 0; half < width; half += 16)
    for (long block = 0; block < inputs; block += 16, w += 9 * 256)
#pragma clang loop unroll(disable)
      for (int i = 0; i < 16; i++) {
        v16 points[6];
        transform_taps(row, w + i * 16, points);
#pragma clang loop unroll(full)
        for (int j = 0; j < 6; j++) store16(u + j * stride + (block + i) * width + half, points[j]);
      }
}

CK_CLONES static void transform_points(int row, const void *w, long inputs, long width, float *u, long stride) {
#define ROW(index) \
  case index: transform_row(index, w, inputs, width, u, stride); break
  switch (row) { ROW(0); ROW(1); ROW(2); ROW(3); ROW(4); ROW(5); }
#undef ROW
}

// MARK: sums in registers

/// The sums over all inputs of one block of outputs.
typedef struct {
  const float *w;  ///< [inputs/16][tap][16 i][16 o]
  const float *v;  ///< [point][tile][inputs]
  float *m;        ///< [point][tile][m_row]
  long inputs, v_stride, m_stride, m_row;
} winograd_sums;

/// Fetches what row `row` of points, a constant, has to fetch of the taps at `w` that come next: the six rows fetch all nine.
CK_INLINE void fetch_taps(const int row, const float *w) {
  __builtin_prefetch(w + row * 256);
  if (row < 3) __builtin_prefetch(w + (row + 6) * 256);
}

/// M at the six points of row `row` for `tiles` ≤ 4 tiles, both constants where this is inlined. Sums are added in the order of `ck_gemm`.
CK_INLINE void sum_row(const int row, const int tiles, const winograd_sums *s) {
  const float *v = s->v + row * 6 * s->v_stride, *w = s->w;
  float *m = s->m + row * 6 * s->m_stride;
  long next = s->inputs * 9 * 16;
  for (long begin = 0; begin < s->inputs; begin += CK_DEPTH) {
    long end = min_long(begin + CK_DEPTH, s->inputs);
    v16 sum[6][4];
#pragma clang loop unroll(full)
    for (int j = 0; j < 6; j++)
#pragma clang loop unroll(full)
      for (int t = 0; t < tiles; t++) sum[j][t] = (v16){0};
    for (long block = begin; block < end; block += 16, w += 9 * 256)
#pragma clang loop unroll(disable)
      for (int i = 0; i < 16; i++) {
        v16 u[6];
        transform_taps(row, w + i * 16, u);
        fetch_taps(row, w + next + i * 16);
#pragma clang loop unroll(full)
        for (int j = 0; j < 6; j++)
#pragma clang loop unroll(full)
          for (int t = 0; t < tiles; t++) {
            float a = v[j * s->v_stride + t * s->inputs + block + i];
            sum[j][t] += a * u[j];
          }
      }
#pragma clang loop unroll(full)
    for (int j = 0; j < 6; j++)
#pragma clang loop unroll(full)
      for (int t = 0; t < tiles; t++) {
        float *to = m + j * s->m_stride + t * s->m_row;
        store16(to, begin > 0 ? load16(to) + sum[j][t] : sum[j][t]);
      }
  }
}

CK_CLONES static void sum_few(
  long tiles, const void *w, const float *v, float *m, long inputs, long v_stride, long m_stride, long m_row) {
  winograd_sums s = {w, v, m, inputs, v_stride, m_stride, m_row};
#define ROWS(count)                                                                                  \
  case count:                                                                                        \
    sum_row(0, count, &s), sum_row(1, count, &s), sum_row(2, count, &s), sum_row(3, count, &s),      \
      sum_row(4, count, &s), sum_row(5, count, &s);                                                  \
    break
  switch (tiles) { ROWS(1); ROWS(2); ROWS(3); ROWS(4); }
#undef ROWS
}
