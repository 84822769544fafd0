// Dot products of rows: both operands lie as they are read, so nothing is packed, and weights that are used for few rows are read once.
#include "CKernels.h"
#include "ck_internal.h"

#pragma clang fp contract(fast)

typedef struct {
  const float *x, *w;
  float *y;
  long m, n, k;
} job;

/// Sixteen dot products at a time, as `rows` × 16/rows: their lanes are summed by one transposition.
enum { DOTS = 16 };

/// y of the rows `row`… and the outputs `column`…, as far as there are any; `rows` is a constant where this is inlined.
CK_INLINE void block(const int rows, const job *job, long row, long column) {
  const int columns = DOTS / rows;
  const float *x[DOTS], *w[DOTS];
  v16 sum[DOTS];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) x[i] = job->x + (row + i) * job->k;
#pragma clang loop unroll(full)
  for (int j = 0; j < columns; j++) w[j] = job->w + min_long(column + j, job->n - 1) * job->k;
#pragma clang loop unroll(full)
  for (int i = 0; i < DOTS; i++) sum[i] = (v16){0};
  long whole = job->k / 16 * 16, rest = job->k - whole;
#pragma clang loop unroll(disable)
  for (long l = 0; l < whole; l += 16)
#pragma clang loop unroll(full)
    for (int j = 0; j < columns; j++) {
      v16 weights = load16(w[j] + l);
#pragma clang loop unroll(full)
      for (int i = 0; i < rows; i++) sum[i * columns + j] += load16(x[i] + l) * weights;
    }
  if (rest > 0)
    for (int j = 0; j < columns; j++) {
      v16 weights, values;
      load_part(&weights, w[j] + whole, rest, 0);
      for (int i = 0; i < rows; i++) {
        load_part(&values, x[i] + whole, rest, 0);
        sum[i * columns + j] += values * weights;
      }
    }
  float lanes[DOTS][16], turned[16][DOTS];
  for (int i = 0; i < DOTS; i++) store16(lanes[i], sum[i]);
  transpose16(lanes[0], 16, turned[0], DOTS);
  v16 dots = load16(turned[0]);
  for (int lane = 1; lane < 16; lane++) dots += load16(turned[lane]);
  store16(turned[0], dots);
  long width = min_long(columns, job->n - column);
  for (int i = 0; i < rows; i++) memcpy(job->y + (row + i) * job->n + column, turned[0] + i * columns, (size_t)width * sizeof(float));
}

CK_CLONES static void outputs(const job *job, long first, long last) {
  // The weights of 16 outputs stay in the first-level cache while the rows of x pass.
  for (long column = first; column < last; column += DOTS) {
    long row = 0;
    for (; row + 4 <= job->m; row += 4)
      for (long part = column; part < min_long(column + DOTS, job->n); part += DOTS / 4) block(4, job, row, part);
    for (; row < job->m; row++) block(1, job, row, column);
  }
}

static void linear_body(void *context, int thread, int threads) {
  const job *job = context;
  span mine = share_in_grains(job->n, DOTS, thread, threads);
  outputs(job, mine.first, mine.last);
}

void ck_linear(const float *x, const float *w, float *y, long m, long n, long k) {
  job job = {x, w, y, m, n, k};
  // Of few rows, reading the weights is what takes time.
  ck_parallel_over(max_long(m * n * k / 16, n * k / 2), linear_body, &job);
}
