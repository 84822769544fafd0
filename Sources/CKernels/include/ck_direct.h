/// Convolutions by their definition, as matrix products over all positions: any kernel, any stride, any number of channels.
#pragma once
#include "ck_layout.h"

/// Tensors are blocked where their channels fill blocks, and plain where not; weights are OIhw16i16o where both do, and OIHW where not.
typedef struct {
  long samples, inputs, outputs;
  long height, width, out_height, out_width;
  long kernel_height, kernel_width, stride;
  long top, left;  ///< rows of padding above and columns to the left, less than the kernel's; below and to the right what the sizes leave
} ck_direct;

/// Floats of packed weights. Forward 0 where they are used as they are.
long ck_direct_forward_weights(const ck_direct *conv);
long ck_direct_backward_data_weights(const ck_direct *conv);

/// Floats of workspace.
long ck_direct_forward_workspace(const ck_direct *conv);
long ck_direct_backward_data_workspace(const ck_direct *conv);
long ck_direct_backward_weights_workspace(const ck_direct *conv);

/// Packs w for `ck_direct_forward`, and for `ck_direct_backward_data`.
void ck_direct_pack(const ck_direct *conv, const float *w, float *packed);
void ck_direct_pack_backward(const ck_direct *conv, const float *w, float *packed);

/// y = conv(x, w) + bias + residual. `weights` are w or packed; bias (outputs) or NULL; residual like y or NULL, may be y; x in two parts only
/// where it is blocked.
void ck_direct_forward(
  const ck_direct *conv, ck_parts x, const float *weights, const float *bias, const float *residual, float *y,
  float *workspace);

/// dx = convᵀ(dy, w) + residual, of packed weights. residual like dx or NULL, may be dx.
void ck_direct_backward_data(
  const ck_direct *conv, const float *dy, const float *weights, const float *residual, float *dx, float *workspace);

/// dw, laid out as w, = Σ over samples and pixels of x·dy, overwritten.
void ck_direct_backward_weights(const ck_direct *conv, const float *x, const float *dy, float *dw, float *workspace);
