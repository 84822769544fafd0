#include "ck_bf16_words.h"
#include "ck_norm_pass.h"

#pragma clang fp contract(fast)

long ck_group_norm_workspace(const ck_group_norm *norm) {
  return (2 * SUMS + COEFFICIENTS) * round_up(norm->samples * padded_channels(norm), 16);
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
    // Four sums of each, which need not wait for one another.
    v16 sum[4] = {0}, square[4] = {0};
    for (; i + 4 <= n; i += 4)
      for (int k = 0; k < 4; k++) {
        v16 d = load16(chunk + 16 * (i + k)) - center;
        sum[k] += d, square[k] += d * d;
      }
    for (; i < n; i++) {
      v16 d = load16(chunk + 16 * i) - center;
      sum[0] += d, square[0] += d * d;
    }
    float centers[16], s[16], q[16];
    store16(centers, center), store16(s, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    store16(q, (square[0] + square[1]) + (square[2] + square[3]));
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
  const float *x = row_of(p, row);
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

/// *u = u·σ(u).
CK_INLINE void silu_in_place(v16 *u) {
  v16 d = *u;
  inverse_sigmoid_in_place(&d);
  *u /= d;
}

/// y = act((x − center)·scale + offset) over `count` vectors, and over `rest` floats after them.
CK_CLONES static void affine(
  const float *x, float *y, long count, long rest, const v16 *center, const v16 *scale, const v16 *offset, int silu,
  int past) {
  v16 middle = *center, a = *scale, b = *offset;
  if (silu) {
    for (long i = 0; i < count; i++) {
      v16 u = (load16(x + 16 * i) - middle) * a + b;
      silu_in_place(&u);
      put(y + 16 * i, &u, past);
    }
  } else {
    for (long i = 0; i < count; i++) store16(y + 16 * i, (load16(x + 16 * i) - middle) * a + b);
  }
  if (rest > 0) {
    v16 u;
    load_part(&u, x + 16 * count, rest, 0);
    u = (u - middle) * a + b;
    if (silu) silu_in_place(&u);
    store_part(y + 16 * count, rest, &u);
  }
}

#if defined(__x86_64__)
/// *u = u·σ(u) within 2⁻¹². 2ˣ = 2^⌊x⌋·2^(x − ⌊x⌋), the last factor by a polynomial of the third degree, 7.5e-5 off at most.
CK_BF16_INLINE void rough_silu_in_place(v16 *u) {
  __m512 x = (__m512)(*u * -1.44269504088896341f);
  v16 f = (v16)_mm512_reduce_ps(x, 1);
  v16 power = ((f * 0.07802452f + 0.22606716f) * f + 0.69583354f) * f + 0.99992522f;
  v16 d = (v16)_mm512_scalef_ps((__m512)power, x) + 1.f;
  *u *= (v16)_mm512_rcp14_ps((__m512)d);
}

/// As `affine` of whole vectors, through SiLU.
CK_BF16 static void affine_rough(
  const float *x, float *y, long count, const v16 *center, const v16 *scale, const v16 *offset, int past) {
  v16 middle = *center, a = *scale, b = *offset;
  for (long i = 0; i < count; i++) {
    v16 u = (load16(x + 16 * i) - middle) * a + b;
    rough_silu_in_place(&u);
    put(y + 16 * i, &u, past);
  }
}
#endif

static void forward_apply(const pass *p, long row) {
  long size = p->lanes * p->norm->pixels;
  v16 center, scale, offset;
  row_lanes(&center, p, CENTER, row);
  row_lanes(&scale, p, SCALE, row);
  row_lanes(&offset, p, OFFSET, row);
  const float *x = row_of(p, row);
  float *y = p->out + row * size;
#if defined(__x86_64__)
  if (p->norm->activation == CK_ACTIVATION_ROUGH_SILU && size % 16 == 0)
    return affine_rough(x, y, size / 16, &center, &scale, &offset, p->streams);
#endif
  affine(
    x, y, size / 16, size % 16, &center, &scale, &offset, p->norm->activation != CK_ACTIVATION_NONE, p->streams);
}

static void forward_body(void *context, int thread, int threads) {
  run_stages(context, thread, threads, forward_sum, forward_solve, forward_apply);
  if (((const pass *)context)->streams) end_of_stream();
}

void ck_group_norm_forward(
  const ck_group_norm *norm, const float *x, const float *shift, const float *gamma, const float *beta, float *y,
  float *mean, float *rstd, float *workspace) {
  ck_group_norm_forward_of_parts(norm, (ck_parts){x}, shift, gamma, beta, y, mean, rstd, workspace);
}

void ck_group_norm_forward_of_parts(
  const ck_group_norm *norm, ck_parts x, const float *shift, const float *gamma, const float *beta, float *y,
  float *mean, float *rstd, float *workspace) {
  pass p = make_pass(norm, workspace);
  p.x = x, p.shift = shift, p.gamma = gamma, p.beta = beta, p.out = y, p.mean = mean, p.rstd = rstd;
  p.streams = y != x.x && norm->activation != CK_ACTIVATION_NONE && streams(y, norm->samples * p.padded * norm->pixels);
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
  const ck_group_norm *norm, const float *x, const float *shift, const float *gamma, const float *beta, float *mean,
  float *rstd, float *scale, float *offset, float *workspace) {
  pass p = make_pass(norm, workspace);
  p.x.x = x, p.shift = shift, p.gamma = gamma, p.beta = beta, p.mean = mean, p.rstd = rstd;
  ck_parallel(statistics_body, &p);
  // (x − center)·scale + offset, as one product and one sum.
  for (long n = 0; n < norm->samples; n++) {
    const float *centers = coefficients_of(&p, CENTER) + n * p.padded;
    const float *scales = coefficients_of(&p, SCALE) + n * p.padded;
    const float *offsets = coefficients_of(&p, OFFSET) + n * p.padded;
    for (long c = 0; c < norm->channels; c++) {
      scale[n * norm->channels + c] = scales[c];
      offset[n * norm->channels + c] = (float)(offsets[c] - (double)centers[c] * scales[c]);
    }
  }
}
