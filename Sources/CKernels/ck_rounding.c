#include <string.h>

#include "CKernels.h"
#include "ck_internal.h"

/// From floats to words or the other way.
typedef struct {
  const void *from;
  void *to;
  long rows;
} pairs_job;

static uint32_t rounded(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  // Adding would carry what is no number into infinity.
  if ((bits & 0x7fffffff) > 0x7f800000) return bits >> 16 | 0x40;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static float widened(uint32_t half) {
  uint32_t bits = half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

CK_CLONES static void round_rows(const float *x, uint32_t *words, long rows) {
  for (long row = 0; row < rows; row++, x += 32, words += 16)
    for (int i = 0; i < 16; i++) words[i] = rounded(x[i]) | rounded(x[16 + i]) << 16;
}

CK_CLONES static void widen_rows(const uint32_t *words, float *x, long rows) {
  for (long row = 0; row < rows; row++, x += 32, words += 16)
    for (int i = 0; i < 16; i++) x[i] = widened(words[i]), x[16 + i] = widened(words[i] >> 16);
}

static void round_body(void *context, int thread, int threads) {
  const pairs_job *job = context;
  span mine = share_of(job->rows, thread, threads);
  round_rows((const float *)job->from + mine.first * 32, (uint32_t *)job->to + mine.first * 16, mine.last - mine.first);
}

static void widen_body(void *context, int thread, int threads) {
  const pairs_job *job = context;
  span mine = share_of(job->rows, thread, threads);
  widen_rows((const uint32_t *)job->from + mine.first * 16, (float *)job->to + mine.first * 32, mine.last - mine.first);
}

void ck_round_pairs(const float *x, uint32_t *words, long rows) {
  pairs_job job = {x, words, rows};
  ck_parallel_over(rows * 32, round_body, &job);
}

void ck_widen_pairs(const uint32_t *words, float *x, long rows) {
  pairs_job job = {words, x, rows};
  ck_parallel_over(rows * 32, widen_body, &job);
}
