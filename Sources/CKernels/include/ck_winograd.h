/// 3×3 convolution, stride 1, padding 1, by Winograd's F(4×4, 3×3) (Lavin & Gray 2016) on blocked tensors.
///
/// Interpolation points 0, ±5/8, ±3/2, ∞: errors near 1e-6 where ±1, ±2 give 1e-5.
#pragma once

typedef struct {
  long samples, inputs, outputs, height, width;  ///< inputs % 16 = outputs % 16 = 0; any height and width
} ck_winograd;

/// Floats that transformed weights take, for either direction; 0 where they are so many that they are transformed anew in every run: then
/// the passes take w itself.
long ck_winograd_weights(const ck_winograd *conv);

/// Floats of workspace for forward, backward data and backward weights.
long ck_winograd_forward_workspace(const ck_winograd *conv);
long ck_winograd_backward_data_workspace(const ck_winograd *conv);
long ck_winograd_backward_weights_workspace(const ck_winograd *conv);

/// Transforms w (OIhw16i16o) for `ck_winograd_forward`. Once for each value of the weights.
void ck_winograd_transform(const ck_winograd *conv, const float *w, float *transformed);

/// Transforms the same forward weights w (OIhw16i16o) for `ck_winograd_backward_data`.
void ck_winograd_transform_backward(const ck_winograd *conv, const float *w, float *transformed);

/// y = conv(x, w) + bias + residual, `weights` w or what `ck_winograd_transform` made of it.
///   x (N, inputs, H, W) blocked;  bias (outputs) or NULL;  residual like y or NULL, may be y;  y (N, outputs, H, W)
///   blocked.
void ck_winograd_forward(
  const ck_winograd *conv, const float *x, const float *weights, const float *bias, const float *residual, float *y,
  float *workspace);

/// dx = convᵀ(dy, w) + residual, `weights` w or what `ck_winograd_transform_backward` made of it. residual like dx or NULL, may be dx.
void ck_winograd_backward_data(
  const ck_winograd *conv, const float *dy, const float *weights, const float *residual, float *dx,
  float *workspace);

/// dw (OIhw16i16o) = Σ over samples and pixels of x·dy, overwritten.
void ck_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, float *workspace);
