/// Group normalization (Wu & He 2018) with a fused channel shift and activation.
#pragma once
#include "ck_layout.h"

typedef enum {
  CK_ACTIVATION_NONE = 0,
  CK_ACTIVATION_SILU = 1,
  /// Forward within 2⁻¹², for what is rounded to bfloat16 next. Only where `ck_bf16_available()`.
  CK_ACTIVATION_ROUGH_SILU = 2,
} ck_activation;

typedef struct {
  long samples, channels, pixels, groups;  ///< channels % groups = 0; channels a group need not divide 16
  float epsilon;
  ck_activation activation;
  ck_format format;  ///< of x, y, dy, dx, add
} ck_group_norm;

/// Floats of workspace for either direction.
long ck_group_norm_workspace(const ck_group_norm *norm);

/// y = act(γ·(x + shift − μ)·rstd + β), μ and rstd = 1/√(σ² + ε) over each group of x + shift.
///   x, y (N, C, pixels) in `format`, y may be x;  shift (N, C) or NULL: the time embedding;  γ, β (C);  mean, rstd (N,
///   groups).
void ck_group_norm_forward(
  const ck_group_norm *norm, const float *x, const float *shift, const float *gamma, const float *beta, float *y,
  float *mean, float *rstd, float *workspace);

/// The same of a blocked x in two parts.
void ck_group_norm_forward_of_parts(
  const ck_group_norm *norm, ck_parts x, const float *shift, const float *gamma, const float *beta, float *y,
  float *mean, float *rstd, float *workspace);

/// The gradient. With u the input of act, x̂ = (x + shift − μ)·rstd, du = dy·act′(u), means over a group:
///   dx = rstd·(γ·du − mean(γ·du) − x̂·mean(γ·du·x̂)) + add
///   dγ = Σ du·x̂      dβ = Σ du      dshift = Σ_pixels (dx − add)
///   add (N, C, pixels) or NULL: a gradient to add, that of a residual branch;  dγ, dβ (C), overwritten;
///   dshift (N, C) or NULL.
///   dx may be dy, but not add nor x.
void ck_group_norm_backward(
  const ck_group_norm *norm, const float *x, const float *shift, const float *gamma, const float *beta,
  const float *mean, const float *rstd, const float *dy, const float *add, float *dx, float *dgamma, float *dbeta,
  float *dshift, float *workspace);

/// The statistics alone, for a consumer that normalises as it reads: act's argument is x·scale + offset.
///   mean, rstd (N, groups);  scale, offset (N, C).
void ck_group_norm_statistics(
  const ck_group_norm *norm, const float *x, const float *shift, const float *gamma, const float *beta, float *mean,
  float *rstd, float *scale, float *offset, float *workspace);
