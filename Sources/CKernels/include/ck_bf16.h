/// Convolutions, products and attention whose operands are rounded to bfloat16 and whose sums are FP32, for AVX512-BF16.
#pragma once
#include <stddef.h>
#include "ck_attention.h"
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
  const ck_winograd *conv, const float *x, const void *transformed, const float *bias, const float *residual, float *y,
  void *workspace);
void ck_bf16_winograd_backward_data(
  const ck_winograd *conv, const float *dy, const void *transformed, const float *residual, float *dx, void *workspace);
void ck_bf16_winograd_backward_weights(
  const ck_winograd *conv, const float *x, const float *dy, float *dw, void *workspace);
