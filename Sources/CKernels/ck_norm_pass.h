/// What both directions of group normalization share.
//
// Work is cut into rows: 16 channels of one sample (blocked) or one channel (plain). A unit is the least number of rows
// that holds whole groups. Each direction has three stages: sums of each channel, coefficients of each unit, one affine
// map of each row. A thread takes whole units through all stages while they are in its cache; where units are few, all
// threads share each stage's rows instead.
#pragma once
#include "CKernels.h"
#include "ck_internal.h"

#pragma clang fp contract(fast)

typedef struct {
  const ck_group_norm *norm;
  long lanes;          ///< channels a row: 16 or 1
  long rows;           ///< rows a sample
  long rows_per_unit;
  long units;          ///< units a sample
  long padded;         ///< channels a sample, padded lanes included
  ck_parts x;
  const float *shift, *gamma, *beta, *dy, *add;
  float *out;          ///< y or dx
  float *mean, *rstd, *dgamma, *dbeta, *dshift;
  double *sums;        ///< SUMS × (N, padded)
  float *coefficients; ///< COEFFICIENTS × (N, padded)
  int streams;         ///< whether `out`, forward and through SiLU, is written past the caches
} pass;

enum { SUMS = 3, COEFFICIENTS = 8 };
/// Rows of `sums`: forward, then backward.
enum { MEAN, SQUARES };
enum { SUM_DU, SUM_DU_XHAT, SUM_XHAT };
/// Rows of `coefficients`: forward uses CENTER, SCALE, OFFSET.
enum { CENTER, SCALE, OFFSET, GAMMA, BETA, DU_FACTOR, X_FACTOR, CONSTANT };

CK_INLINE long greatest_common_divisor(long a, long b) {
  while (b != 0) {
    long rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

CK_INLINE long padded_channels(const ck_group_norm *norm) {
  return norm->format == CK_BLOCKED ? round_up(norm->channels, 16) : norm->channels;
}

CK_INLINE pass make_pass(const ck_group_norm *norm, float *workspace) {
  pass p = {.norm = norm, .padded = padded_channels(norm)};
  long per_group = norm->channels / norm->groups;
  p.lanes = norm->format == CK_BLOCKED ? 16 : 1;
  p.rows = p.padded / p.lanes;
  p.rows_per_unit = per_group / greatest_common_divisor(per_group, p.lanes);
  p.units = (p.rows + p.rows_per_unit - 1) / p.rows_per_unit;
  p.sums = (double *)workspace;
  p.coefficients = workspace + 2 * SUMS * round_up(norm->samples * p.padded, 16);
  return p;
}

CK_INLINE double *sums_of(const pass *p, int which) { return p->sums + which * p->norm->samples * p->padded; }
CK_INLINE float *coefficients_of(const pass *p, int which) {
  return p->coefficients + which * p->norm->samples * p->padded;
}

// MARK: stages

typedef void stage(const pass *p, long row);        // row in 0..<N·rows
typedef void unit_stage(const pass *p, long unit);  // unit in 0..<N·units

/// Takes this thread's part of the work through the three stages.
static inline void run_stages(const pass *p, int thread, int threads, stage *sum, unit_stage *solve, stage *apply) {
  long samples = p->norm->samples, units = samples * p->units;
  if (units % threads == 0 || units >= 4 * threads) {
    span mine = share_of(units, thread, threads);
    for (long unit = mine.first; unit < mine.last; unit++) {
      long first = unit / p->units * p->rows + unit % p->units * p->rows_per_unit;
      long last = min_long(first + p->rows_per_unit, (unit / p->units + 1) * p->rows);
      for (long row = first; row < last; row++) sum(p, row);
      solve(p, unit);
      for (long row = first; row < last; row++) apply(p, row);
    }
    return;
  }
  span rows = share_of(samples * p->rows, thread, threads), mine = share_of(units, thread, threads);
  for (long row = rows.first; row < rows.last; row++) sum(p, row);
  ck_barrier();
  for (long unit = mine.first; unit < mine.last; unit++) solve(p, unit);
  ck_barrier();
  for (long row = rows.first; row < rows.last; row++) apply(p, row);
}

/// The channels first..<last of a unit, counted inside sample n; padded lanes follow up to `padded`.
typedef struct {
  long n, first, last, padded;
} unit_channels;

CK_INLINE unit_channels channels_of(const pass *p, long unit) {
  long first = unit % p->units * p->rows_per_unit * p->lanes;
  long padded = min_long(first + p->rows_per_unit * p->lanes, p->padded);
  return (unit_channels){unit / p->units, first, min_long(padded, p->norm->channels), padded};
}

/// Row `row` of x.
CK_INLINE const float *row_of(const pass *p, long row) {
  long size = p->lanes * p->norm->pixels, first = p->x.first / 16;
  if (!p->x.rest) return p->x.x + row * size;
  long sample = row / p->rows, block = row % p->rows;
  return block < first ? p->x.x + (sample * first + block) * size
                       : p->x.rest + (sample * (p->rows - first) + block - first) * size;
}

/// A row's coefficient in each lane.
CK_INLINE void row_lanes(v16 *v, const pass *p, int which, long row) {
  const float *values = coefficients_of(p, which) + row * p->lanes;
  *v = p->lanes == 16 ? load16(values) : splat16(*values);
}
