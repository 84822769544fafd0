/// 3×3 convolution, stride 1, padding 1, from blocked tensors to images of few channels: a network's last layer.
#pragma once

typedef struct {
  long samples, inputs, outputs, height, width;  ///< inputs % 16 = 0; outputs ≤ CK_THIN_OUTPUTS
} ck_thin;

enum { CK_THIN_OUTPUTS = 3 };

/// Floats of packed weights, and of workspace.
long ck_thin_weights(const ck_thin *conv);
long ck_thin_workspace(const ck_thin *conv);

/// Packs w (outputs, inputs, 3, 3), row-major.
void ck_thin_pack(const ck_thin *conv, const float *w, float *packed);

/// y = conv(x, w) + bias + residual.
///   x (N, inputs, H, W) blocked;  bias (outputs) or NULL;  residual like y or NULL, may be y;  y (N, outputs, H, W) plain.
void ck_thin_forward(
  const ck_thin *conv, const float *x, const float *packed, const float *bias, const float *residual, float *y,
  float *workspace);
