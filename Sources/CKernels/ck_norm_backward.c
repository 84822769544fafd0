#include "ck_norm_pass.h"

#pragma clang fp contract(fast)

/// *du times SiLU′(u) = σ(u)·(1 + u·(1 − σ(u))).
CK_INLINE void through_silu(v16 *du, const v16 *u) {
  v16 d = *u;
  inverse_sigmoid_in_place(&d);
  v16 s = 1.f / d;
  *du *= s * (1.f + *u * (1.f - s));
}

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
        v16 u = xhat * gamma + beta;
        through_silu(&du, &u);
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
      v16 u = xhat * gamma + beta;
      through_silu(&du, &u);
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
    p->x.x + row * size, p->dy + row * size, p->out + row * size, size / 16, size % 16, coefficients,
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
    p->x.x + row * size, p->add ? p->add + row * size : NULL, p->out + row * size, size / 16, size % 16, &center,
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
  p.x.x = x, p.shift = shift, p.gamma = gamma, p.beta = beta, p.dy = dy, p.add = add, p.out = dx;
  p.mean = (float *)mean, p.rstd = (float *)rstd, p.dgamma = dgamma, p.dbeta = dbeta, p.dshift = dshift;
  ck_parallel(backward_body, &p);
}
