#include "CKernels.h"
#include "ck_internal.h"

#pragma clang fp contract(fast)

// Work is cut into rows: 16 channels of one sample (blocked) or one channel (plain). A unit is the least number of rows
// that holds whole groups. Each direction has three stages: sums of each channel, coefficients of each unit, one affine
// map of each row. A thread takes whole units through all stages while they are in its cache; where units are few, all
// threads share each stage's rows instead.

typedef struct {
  const ck_group_norm *norm;
  long lanes;          ///< channels a row: 16 or 1
  long rows;           ///< rows a sample
  long rows_per_unit;
  long units;          ///< units a sample
  long padded;         ///< channels a sample, padded lanes included
  const float *x, *shift, *gamma, *beta, *dy, *add;
  float *out;          ///< y or dx
  float *mean, *rstd, *dgamma, *dbeta, *dshift;
  double *sums;        ///< SUMS × (N, padded)
  float *coefficients; ///< COEFFICIENTS × (N, padded)
} pass;

enum { SUMS = 3, COEFFICIENTS = 8 };
/// Rows of `sums`: forward, then backward.
enum { MEAN, SQUARES };
enum { SUM_DU, SUM_DU_XHAT, SUM_XHAT };
/// Rows of `coefficients`: forward uses CENTER, SCALE, OFFSET.
enum { CENTER, SCALE, OFFSET, GAMMA, BETA, DU_FACTOR, X_FACTOR, CONSTANT };

static long greatest_common_divisor(long a, long b) {
  while (b != 0) {
    long rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static long padded_channels(const ck_group_norm *norm) {
  return norm->format == CK_BLOCKED ? round_up(norm->channels, 16) : norm->channels;
}

long ck_group_norm_workspace(const ck_group_norm *norm) {
  return (2 * SUMS + COEFFICIENTS) * round_up(norm->samples * padded_channels(norm), 16);
}

static pass make_pass(const ck_group_norm *norm, float *workspace) {
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

static double *sums_of(const pass *p, int which) { return p->sums + which * p->norm->samples * p->padded; }
static float *coefficients_of(const pass *p, int which) {
  return p->coefficients + which * p->norm->samples * p->padded;
}

// MARK: stages

typedef void stage(const pass *p, long row);        // row in 0..<N·rows
typedef void unit_stage(const pass *p, long unit);  // unit in 0..<N·units

/// Takes this thread's part of the work through the three stages.
static void run_stages(const pass *p, int thread, int threads, stage *sum, unit_stage *solve, stage *apply) {
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

static unit_channels channels_of(const pass *p, long unit) {
  long first = unit % p->units * p->rows_per_unit * p->lanes;
  long padded = min_long(first + p->rows_per_unit * p->lanes, p->padded);
  return (unit_channels){unit / p->units, first, min_long(padded, p->norm->channels), padded};
}

// MARK: forward

/// Means and sums of squared deviations of 16 lanes over `count` vectors: x [count][16].
///
/// Each chunk is centred on the mean of the one before it (the first on its own). Were the centre far from the chunk's
/// mean, that distance would itself be part of the variance, so nothing is lost to cancellation; chunks are merged in
/// double.
CK_CLONES static void moments(const float *x, long count, double mean[16], double squares[16]) {
  enum { CHUNK = 64 };
  for (int lane = 0; lane < 16; lane++) mean[lane] = squares[lane] = 0;
  v16 center = {0};
  for (long i = 0; i < min_long(CHUNK, count); i++) center += load16(x + 16 * i);
  center *= 1.f / min_long(CHUNK, count);
  for (long begin = 0; begin < count; begin += CHUNK) {
    long n = min_long(CHUNK, count - begin), i = 0;
    const float *chunk = x + 16 * begin;
    v16 s0 = {0}, s1 = {0}, q0 = {0}, q1 = {0};
    for (; i + 2 <= n; i += 2) {
      v16 d0 = load16(chunk + 16 * i) - center, d1 = load16(chunk + 16 * i + 16) - center;
      s0 += d0, s1 += d1;
      q0 += d0 * d0, q1 += d1 * d1;
    }
    if (i < n) {
      v16 d0 = load16(chunk + 16 * i) - center;
      s0 += d0, q0 += d0 * d0;
    }
    float centers[16], s[16], q[16];
    store16(centers, center), store16(s, s0 + s1), store16(q, q0 + q1);
    double part = 1.0 / n, weight = (double)n / (double)(begin + n);
    for (int lane = 0; lane < 16; lane++) {
      double offset = s[lane] * part, chunk_mean = centers[lane] + offset, distance = chunk_mean - mean[lane];
      squares[lane] += q[lane] - s[lane] * offset + distance * distance * (begin * weight);
      mean[lane] += distance * weight;
      centers[lane] = (float)chunk_mean;
    }
    center = load16(centers);
  }
}

static void forward_sum(const pass *p, long row) {
  long pixels = p->norm->pixels;
  double *mean = sums_of(p, MEAN) + row * p->lanes, *squares = sums_of(p, SQUARES) + row * p->lanes;
  const float *x = p->x + row * p->lanes * pixels;
  if (p->lanes == 16) return moments(x, pixels, mean, squares);
  // One channel: sixteen interleaved sequences, then the pixels that are left, merged one by one.
  double lane_mean[16], lane_squares[16], count = pixels / 16, total = 0;
  *mean = *squares = 0;
  if (count > 0) {
    moments(x, pixels / 16, lane_mean, lane_squares);
    for (int lane = 0; lane < 16; lane++) {
      double distance = lane_mean[lane] - *mean, weight = count / (total + count);
      *squares += lane_squares[lane] + distance * distance * total * weight;
      *mean += distance * weight;
      total += count;
    }
  }
  for (long i = pixels / 16 * 16; i < pixels; i++) {
    double distance = x[i] - *mean;
    *squares += distance * distance * total / (total + 1);
    *mean += distance / (total + 1);
    total += 1;
  }
}

static void forward_solve(const pass *p, long unit) {
  const ck_group_norm *norm = p->norm;
  unit_channels u = channels_of(p, unit);
  long per_group = norm->channels / norm->groups, pixels = norm->pixels, base = u.n * p->padded;
  const double *means = sums_of(p, MEAN) + base, *squares = sums_of(p, SQUARES) + base;
  const float *shift = p->shift ? p->shift + u.n * norm->channels : NULL;
  float *center = coefficients_of(p, CENTER) + base, *scale = coefficients_of(p, SCALE) + base;
  float *offset = coefficients_of(p, OFFSET) + base;
  for (long first = u.first; first < u.last; first += per_group) {
    double mean = 0, deviation = 0;
    for (long c = first; c < first + per_group; c++) mean += means[c] + (shift ? shift[c] : 0);
    mean /= per_group;
    for (long c = first; c < first + per_group; c++) {
      double distance = means[c] + (shift ? shift[c] : 0) - mean;
      deviation += squares[c] + pixels * distance * distance;
    }
    double rstd = 1 / sqrt(deviation / ((double)per_group * pixels) + norm->epsilon);
    long group = u.n * norm->groups + first / per_group;
    p->mean[group] = (float)mean;
    p->rstd[group] = (float)rstd;
    // y = (x − center)·scale + offset: x − center is exact for x near it, so a large mean costs no digits.
    for (long c = first; c < first + per_group; c++) {
      double middle = mean - (shift ? shift[c] : 0), factor = p->gamma[c] * rstd;
      center[c] = (float)middle;
      scale[c] = (float)factor;
      offset[c] = (float)(p->beta[c] + factor * (center[c] - middle));
    }
  }
  for (long c = u.last; c < u.padded; c++) center[c] = scale[c] = offset[c] = 0;
}

/// y = act((x − center)·scale + offset) over `count` vectors, and over `rest` floats after them.
CK_CLONES static void affine(
  const float *x, float *y, long count, long rest, const v16 *center, const v16 *scale, const v16 *offset, int silu) {
  v16 middle = *center, a = *scale, b = *offset;
  if (silu) {
    for (long i = 0; i < count; i++) {
      v16 u = (load16(x + 16 * i) - middle) * a + b;
      v16 s = u;
      sigmoid_in_place(&s);
      store16(y + 16 * i, u * s);
    }
  } else {
    for (long i = 0; i < count; i++) store16(y + 16 * i, (load16(x + 16 * i) - middle) * a + b);
  }
  if (rest > 0) {
    v16 u;
    load_part(&u, x + 16 * count, rest, 0);
    u = (u - middle) * a + b;
    if (silu) {
      v16 s = u;
      sigmoid_in_place(&s);
      u *= s;
    }
    store_part(y + 16 * count, rest, &u);
  }
}

/// A row's coefficient in each lane.
CK_INLINE void row_lanes(v16 *v, const pass *p, int which, long row) {
  const float *values = coefficients_of(p, which) + row * p->lanes;
  *v = p->lanes == 16 ? load16(values) : splat16(*values);
}

static void forward_apply(const pass *p, long row) {
  long size = p->lanes * p->norm->pixels;
  v16 center, scale, offset;
  row_lanes(&center, p, CENTER, row);
  row_lanes(&scale, p, SCALE, row);
  row_lanes(&offset, p, OFFSET, row);
  affine(
    p->x + row * size, p->out + row * size, size / 16, size % 16, &center, &scale, &offset,
    p->norm->activation == CK_ACTIVATION_SILU);
}

static void forward_body(void *context, int thread, int threads) {
  run_stages(context, thread, threads, forward_sum, forward_solve, forward_apply);
}

void ck_group_norm_forward(
  const ck_group_norm *norm, const float *x, const float *shift, const float *gamma, const float *beta, float *y,
  float *mean, float *rstd, float *workspace) {
  pass p = make_pass(norm, workspace);
  p.x = x, p.shift = shift, p.gamma = gamma, p.beta = beta, p.out = y, p.mean = mean, p.rstd = rstd;
  ck_parallel(forward_body, &p);
}

// MARK: statistics

static void no_apply(const pass *p, long row) {
  (void)p;
  (void)row;
}

static void statistics_body(void *context, int thread, int threads) {
  run_stages(context, thread, threads, forward_sum, forward_solve, no_apply);
}

void ck_group_norm_statistics(
  const ck_group_norm *norm, const float *x, const float *shift, const float *gamma, const float *beta, float *mean, float *rstd,
  float *scale, float *offset, float *workspace) {
  pass p = make_pass(norm, workspace);
  p.x = x, p.shift = shift, p.gamma = gamma, p.beta = beta, p.mean = mean, p.rstd = rstd;
  ck_parallel(statistics_body, &p);
  // (x − center)·scale + offset, as one product and one sum.
  for (long n = 0; n < norm->samples; n++) {
    const float *centers = coefficients_of(&p, CENTER) + n * p.padded, *scales = coefficients_of(&p, SCALE) + n * p.padded;
    const float *offsets = coefficients_of(&p, OFFSET) + n * p.padded;
    for (long c = 0; c < norm->channels; c++) {
      scale[n * norm->channels + c] = scales[c];
      offset[n * norm->channels + c] = (float)(offsets[c] - (double)centers[c] * scales[c]);
    }
  }
}

// MARK: backward

/// x̂ = (x − center)·scale + offset, u = γx̂ + β, du = dy·act′(u); stores du, and adds Σ du, Σ du·x̂, Σ x̂ of each lane
/// to sums.
CK_CLONES static void activation_gradient(
  const float *x, const float *dy, float *du_out, long count, long rest, const v16 coefficients[5], int silu,
  double sums[3][16]) {
  v16 center = coefficients[CENTER], scale = coefficients[SCALE], offset = coefficients[OFFSET];
  v16 gamma = coefficients[GAMMA], beta = coefficients[BETA];
  enum { CHUNK = 64 };
  for (long begin = 0; begin < count; begin += CHUNK) {
    v16 sum_du = {0}, sum_du_xhat = {0}, sum_xhat = {0};
    for (long i = begin; i < min_long(begin + CHUNK, count); i++) {
      v16 xhat = (load16(x + 16 * i) - center) * scale + offset, du = load16(dy + 16 * i);
      if (silu) {
        v16 u = xhat * gamma + beta, s = u;
        sigmoid_in_place(&s);
        du *= s * (1.f + u * (1.f - s));
      }
      store16(du_out + 16 * i, du);
      sum_du += du, sum_du_xhat += du * xhat, sum_xhat += xhat;
    }
    for (int lane = 0; lane < 16; lane++) {
      sums[SUM_DU][lane] += sum_du[lane];
      sums[SUM_DU_XHAT][lane] += sum_du_xhat[lane];
      sums[SUM_XHAT][lane] += sum_xhat[lane];
    }
  }
  if (rest > 0) {
    v16 xhat, du;
    load_part(&xhat, x + 16 * count, rest, 0);
    load_part(&du, dy + 16 * count, rest, 0);
    xhat = (xhat - center) * scale + offset;
    if (silu) {
      v16 u = xhat * gamma + beta, s = u;
        sigmoid_in_place(&s);
      du *= s * (1.f + u * (1.f - s));
    }
    store_part(du_out + 16 * count, rest, &du);
    for (int lane = 0; lane < rest; lane++) {
      sums[SUM_DU][lane] += du[lane];
      sums[SUM_DU_XHAT][lane] += (double)du[lane] * xhat[lane];
      sums[SUM_XHAT][lane] += xhat[lane];
    }
  }
}

static void backward_sum(const pass *p, long row) {
  const ck_group_norm *norm = p->norm;
  long size = p->lanes * norm->pixels, n = row / p->rows, first = row % p->rows * p->lanes;
  long per_group = norm->channels / norm->groups;
  for (long c = first; c < first + p->lanes; c++) {
    long at = n * p->padded + c;
    float center = 0, rstd = 0, offset = 0;
    if (c < norm->channels) {
      long group = n * norm->groups + c / per_group;
      double middle = (double)p->mean[group] - (p->shift ? p->shift[n * norm->channels + c] : 0);
      rstd = p->rstd[group];
      center = (float)middle;
      offset = (float)((center - middle) * rstd);
    }
    coefficients_of(p, CENTER)[at] = center;
    coefficients_of(p, SCALE)[at] = rstd;
    coefficients_of(p, OFFSET)[at] = offset;
    coefficients_of(p, GAMMA)[at] = c < norm->channels ? p->gamma[c] : 0;
    coefficients_of(p, BETA)[at] = c < norm->channels ? p->beta[c] : 0;
  }
  v16 coefficients[5];
  for (int which = CENTER; which <= BETA; which++) row_lanes(&coefficients[which], p, which, row);
  double sums[3][16] = {{0}};
  activation_gradient(
    p->x + row * size, p->dy + row * size, p->out + row * size, size / 16, size % 16, coefficients,
    norm->activation == CK_ACTIVATION_SILU, sums);
  for (int which = 0; which < 3; which++) {
    double *out = sums_of(p, which) + row * p->lanes;
    if (p->lanes == 16) {
      memcpy(out, sums[which], sizeof sums[which]);
    } else {
      *out = 0;
      for (int lane = 0; lane < 16; lane++) *out += sums[which][lane];
    }
  }
}

static void backward_solve(const pass *p, long unit) {
  const ck_group_norm *norm = p->norm;
  unit_channels u = channels_of(p, unit);
  long per_group = norm->channels / norm->groups, base = u.n * p->padded;
  const double *sum_du = sums_of(p, SUM_DU) + base, *sum_du_xhat = sums_of(p, SUM_DU_XHAT) + base;
  const double *sum_xhat = sums_of(p, SUM_XHAT) + base;
  const float *scale = coefficients_of(p, SCALE) + base, *offset = coefficients_of(p, OFFSET) + base;
  float *du_factor = coefficients_of(p, DU_FACTOR) + base, *x_factor = coefficients_of(p, X_FACTOR) + base;
  float *constant = coefficients_of(p, CONSTANT) + base;
  double size = (double)per_group * norm->pixels;
  for (long first = u.first; first < u.last; first += per_group) {
    double mean = 0, mean_xhat = 0;  // of γ·du and of γ·du·x̂
    for (long c = first; c < first + per_group; c++) {
      mean += p->gamma[c] * sum_du[c];
      mean_xhat += p->gamma[c] * sum_du_xhat[c];
    }
    mean /= size;
    mean_xhat /= size;
    // dx = rstd·(γ·du − mean − x̂·mean_xhat), as a map of du and of x − center
    for (long c = first; c < first + per_group; c++) {
      double rstd = scale[c];
      du_factor[c] = (float)(p->gamma[c] * rstd);
      x_factor[c] = (float)(-mean_xhat * rstd * rstd);
      constant[c] = (float)(-rstd * (mean + mean_xhat * offset[c]));
      if (p->dshift)
        p->dshift[u.n * norm->channels + c] =
          (float)(rstd * (p->gamma[c] * sum_du[c] - norm->pixels * mean - sum_xhat[c] * mean_xhat));
    }
  }
  for (long c = u.last; c < u.padded; c++) du_factor[c] = x_factor[c] = constant[c] = 0;
}

/// dx = du·du_factor + (x − center)·x_factor + constant (+ add), in place over du.
CK_CLONES static void input_gradient(
  const float *x, const float *add, float *dx, long count, long rest, const v16 *center, const v16 *du_factor,
  const v16 *x_factor, const v16 *constant) {
  v16 middle = *center, a = *du_factor, b = *x_factor, c = *constant;
  if (add)
    for (long i = 0; i < count; i++)
      store16(dx + 16 * i, load16(dx + 16 * i) * a + ((load16(x + 16 * i) - middle) * b + c) + load16(add + 16 * i));
  else
    for (long i = 0; i < count; i++)
      store16(dx + 16 * i, load16(dx + 16 * i) * a + ((load16(x + 16 * i) - middle) * b + c));
  if (rest > 0) {
    v16 xs, du, extra = {0};
    load_part(&xs, x + 16 * count, rest, 0);
    load_part(&du, dx + 16 * count, rest, 0);
    if (add) load_part(&extra, add + 16 * count, rest, 0);
    du = du * a + ((xs - middle) * b + c) + extra;
    store_part(dx + 16 * count, rest, &du);
  }
}

static void backward_apply(const pass *p, long row) {
  long size = p->lanes * p->norm->pixels;
  v16 center, du_factor, x_factor, constant;
  row_lanes(&center, p, CENTER, row);
  row_lanes(&du_factor, p, DU_FACTOR, row);
  row_lanes(&x_factor, p, X_FACTOR, row);
  row_lanes(&constant, p, CONSTANT, row);
  input_gradient(
    p->x + row * size, p->add ? p->add + row * size : NULL, p->out + row * size, size / 16, size % 16, &center,
    &du_factor, &x_factor, &constant);
}

static void backward_body(void *context, int thread, int threads) {
  const pass *p = context;
  run_stages(p, thread, threads, backward_sum, backward_solve, backward_apply);
  ck_barrier();
  span mine = share_of(p->norm->channels, thread, threads);
  for (long c = mine.first; c < mine.last; c++) {
    double gamma = 0, beta = 0;
    for (long n = 0; n < p->norm->samples; n++) {
      gamma += sums_of(p, SUM_DU_XHAT)[n * p->padded + c];
      beta += sums_of(p, SUM_DU)[n * p->padded + c];
    }
    p->dgamma[c] = (float)gamma;
    p->dbeta[c] = (float)beta;
  }
}

void ck_group_norm_backward(
  const ck_group_norm *norm, const float *x, const float *shift, const float *gamma, const float *beta,
  const float *mean, const float *rstd, const float *dy, const float *add, float *dx, float *dgamma, float *dbeta,
  float *dshift, float *workspace) {
  pass p = make_pass(norm, workspace);
  p.x = x, p.shift = shift, p.gamma = gamma, p.beta = beta, p.dy = dy, p.add = add, p.out = dx;
  p.mean = (float *)mean, p.rstd = (float *)rstd, p.dgamma = dgamma, p.dbeta = dbeta, p.dshift = dshift;
  ck_parallel(backward_body, &p);
}
