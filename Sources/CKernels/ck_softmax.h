/// Pieces of softmax over a row, for ck_softmax and attention.
#pragma once
#include "ck_internal.h"

#pragma clang fp contract(fast)

/// The largest of n floats. NaN may be passed over: exp_row then makes the whole row NaN.
CK_INLINE float row_max(const float *x, long n) {
  if (n < 16) {
    float largest = x[0];
    for (long i = 1; i < n; i++) largest = largest > x[i] ? largest : x[i];
    return largest;
  }
  v16 most = load16(x);
  for (long i = 16; i < n; i += 16) {
    // The last vector overlaps the one before it.
    v16 next = load16(x + min_long(i, n - 16));
    most = select16(most > next, most, next);
  }
  float lanes[16];
  store16(lanes, most);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
}

/// y = exp(scale·(x − shift)) over a row, the exponent not far above zero; returns the sum.
CK_INLINE float exp_row(const float *x, float *y, long n, float scale, float shift) {
  v16 total = {0};
  long i = 0;
  for (; i + 16 <= n; i += 16) {
    v16 e = (load16(x + i) - shift) * scale;
    exp_bounded_in_place(&e);
    store16(y + i, e);
    total += e;
  }
  if (i < n) {
    v16 rest;
    load_part(&rest, x + i, n - i, -INFINITY);
    rest = (rest - shift) * scale;
    exp_bounded_in_place(&rest);
    store_part(y + i, n - i, &rest);
    for (int lane = 0; lane < n - i; lane++) total[lane] += rest[lane];
  }
  return sum16(&total);
}
