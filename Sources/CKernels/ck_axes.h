/// Walks over strided views of up to six axes.
#pragma once
#include "ck_internal.h"

enum { MAX_RANK = 6, MAX_VIEWS = 3 };

/// Several views of one shape, axes outermost first.
typedef struct {
  int rank, views;
  long shape[MAX_RANK];
  long strides[MAX_VIEWS][MAX_RANK];
} axes;

CK_INLINE void append_axis(axes *a, long size, const long *strides) {
  a->shape[a->rank] = size;
  for (int v = 0; v < a->views; v++) a->strides[v][a->rank] = strides[v];
  a->rank += 1;
}

/// Drops axes of size 1 and merges neighbours that every view walks as one; leaves at least one axis.
CK_INLINE void merge_axes(axes *a) {
  axes merged = {.views = a->views};
  for (int d = 0; d < a->rank; d++) {
    if (a->shape[d] == 1) continue;
    long strides[MAX_VIEWS];
    int joins = merged.rank > 0;
    for (int v = 0; v < a->views; v++) {
      strides[v] = a->strides[v][d];
      joins = joins && merged.strides[v][merged.rank - 1] == strides[v] * a->shape[d];
    }
    if (joins) {
      merged.shape[merged.rank - 1] *= a->shape[d];
      for (int v = 0; v < a->views; v++) merged.strides[v][merged.rank - 1] = strides[v];
    } else {
      append_axis(&merged, a->shape[d], strides);
    }
  }
  if (merged.rank == 0) append_axis(&merged, 1, (long[MAX_VIEWS]){0});
  *a = merged;
}

/// Strides of a dense tensor.
CK_INLINE void dense_strides(int rank, const long *shape, long *strides) {
  long stride = 1;
  for (int d = rank - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= shape[d];
  }
}

/// The product of the sizes of axes first..<last.
CK_INLINE long count_of(const axes *a, int first, int last) {
  long count = 1;
  for (int d = first; d < last; d++) count *= a->shape[d];
  return count;
}

/// A place in axes 0..<rank, and its offset in each view.
typedef struct {
  long index[MAX_RANK];
  long offset[MAX_VIEWS];
} place;

CK_INLINE void go_to(place *p, const axes *a, int rank, long linear) {
  *p = (place){0};
  for (int d = rank - 1; d >= 0; d--) {
    p->index[d] = linear % a->shape[d];
    linear /= a->shape[d];
    for (int v = 0; v < a->views; v++) p->offset[v] += p->index[d] * a->strides[v][d];
  }
}

CK_INLINE void go_on(place *p, const axes *a, int rank) {
  for (int d = rank - 1; d >= 0; d--) {
    for (int v = 0; v < a->views; v++) p->offset[v] += a->strides[v][d];
    if (++p->index[d] < a->shape[d]) return;
    for (int v = 0; v < a->views; v++) p->offset[v] -= a->strides[v][d] * a->shape[d];
    p->index[d] = 0;
  }
}
