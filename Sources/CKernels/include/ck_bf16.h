/// Convolutions whose products round their operands to bfloat16 and add in FP32, for AVX512-BF16.
#pragma once
#include <stddef.h>
#include "ck_direct.h"
#include "ck_layout.h"
#include "ck_winograd.h"

/// 1 where the processor has what the functions of this header need. None may be called where it is 0.
int ck_bf16_available(void);

/// As their namesakes in ck_winograd.h, with the products of the transformed operands in bfloat16. Sizes are bytes.
size_t ck_bf16_winograd_weights(const ck_winograd *conv);
size_t ck_bf16_winograd_forward_workspace(const ck_winograd *conv);
size_t ck_bf16_winograd_backward_data_workspace(const ck_winograd *conv);
size_t ck_bf16_winograd_backward_weights_workspace(const ck_winograd *conv);
void ck_bf16_winograd_transform(const ck_winograd *conv, const float *w, void *transformed);
void ck_bf16_winograd_transform_backward(const ck_winograd *conv, const float *w, void *transformed);
void ck_bf16_winograd_forward(
  const ck_winograd *conv, const float *x, const void *weights, const float *bias, const float *residual, float *y,
  void *workspace);
/// The same of weights that are bfloat16 themselves, as `ck_round_pairs` makes them of OIhw16i16o, where `ck_bf16_winograd_weights` is 0.
void ck_bf16_winograd_forward_of_words(
  const ck_winograd *conv, const float *x, const void *weights, const float *bias, const float *residual, float *y,
  void *workspace);
void ck_bf16_winograd_backward_data(
  const ck_winograd *conv, const float *dy, const void *weights, const float *residual, float *dx, void *workspace);
void ck_bf16_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, void *workspace);

/// As their namesakes in ck_direct.h, of tensors and weights that are blocked, with products in bfloat16.
///
/// Bytes of packed weights, and of workspace.
size_t ck_bf16_direct_weights(const ck_direct *conv);
size_t ck_bf16_direct_forward_workspace(const ck_direct *conv);
size_t ck_bf16_direct_backward_data_workspace(const ck_direct *conv);
size_t ck_bf16_direct_backward_weights_workspace(const ck_direct *conv);

/// For `ck_bf16_direct_forward`, as `ck_round_pairs` does, and for `ck_bf16_direct_backward_data`.
void ck_bf16_direct_pack(const ck_direct *conv, const float *w, void *packed);
void ck_bf16_direct_pack_backward(const ck_direct *conv, const float *w, void *packed);

void ck_bf16_direct_forward(
  const ck_direct *conv, ck_parts x, const void *packed, const float *bias, const float *residual, float *y,
  void *workspace);
void ck_bf16_direct_backward_data(
  const ck_direct *conv, const float *dy, const void *packed, const float *residual, float *dx, void *workspace);
void ck_bf16_direct_backward_weights(
  const ck_direct *conv, const float *x, const float *dy, float *dw, void *workspace);
