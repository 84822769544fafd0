#pragma once
#include <stddef.h>
#include "ck_attention.h"

// FP32 convolutions and matrix products on Intel AMX, whose tiles multiply bf16 and add in FP32.
//
// Every FP32 operand is split as x = hi + lo, hi = bf16(x), lo = bf16(x - hi), and
//
//     a·b ≈ hi_a·hi_b + hi_a·lo_b + lo_a·hi_b        (relative L2 error of a sum about 4e-6)
//
// so a product costs three tile instructions and still runs at several times the rate of FP32 vectors.
// Non-finite values stay non-finite; denormals are flushed. Results are deterministic for a given ck_threads().
//
// Activations are nChw16c: [N][C/16][H][W][16]. Master weights are OIhw16i16o: [Co/16][Ci/16][K][K][16 i][16 o].

/// 1 where the processor and the kernel let this process use AMX-BF16 (and DDPM_NO_AMX is not set to 1), else 0.
/// Nothing else in this header may be called where it is 0.
int ck_amx_available(void);

/// A convolution of `N` images, `Ci`×`H`×`W` to `Co`×`Ho`×`Wo`, with a square kernel.
///
/// Ho = (H + pad_low + pad_high - K) / stride + 1, and Wo likewise.
struct ck_conv {
  long N, Ci, Co;  // channels: multiples of 16
  long H, W;       // input
  long K;          // 1 or 3
  long stride;     // 1 or 2
  long pad_low;    // rows above and columns to the left: less than K
  long pad_high;   // rows below and columns to the right: less than K
  int rounds;      // 1: operands are rounded to bf16, hi alone, and a product costs one instruction
};

/// What a forward convolution does to its input as it reads it: u = act(x·scale + shift), each [N][Ci].
/// The padding is of u, so it stays zero. `scale` is null for u = x.
struct ck_conv_prologue {
  const float *scale, *shift;
  int silu;  // act(z) = z / (1 + exp(-z)) where 1, z where 0
};

/// 1 when the functions below can do `conv`.
int ck_amx_conv_supported(const struct ck_conv *conv);

/// Bytes of packed weights: forward (Ci summed over), backward data (Co summed over).
size_t ck_amx_conv_forward_weights_size(const struct ck_conv *conv);
size_t ck_amx_conv_backward_weights_size(const struct ck_conv *conv);

/// Packs master weights `w`. Call again whenever `w` changes.
void ck_amx_conv_pack_forward(const struct ck_conv *conv, const float *w, void *packed);
void ck_amx_conv_pack_backward(const struct ck_conv *conv, const float *w, void *packed);

/// Bytes of scratch (for the present ck_threads()).
size_t ck_amx_conv_forward_scratch(const struct ck_conv *conv);
size_t ck_amx_conv_backward_data_scratch(const struct ck_conv *conv);
size_t ck_amx_conv_backward_weights_scratch(const struct ck_conv *conv);

/// y = conv(u) + bias + residual, u = prologue(x).
///
/// `prologue`, `bias` [Co] and `residual` (like y, may be y) may be null.
void ck_amx_conv_forward(const struct ck_conv *conv, float *y, const float *x, const struct ck_conv_prologue *prologue,
                         const void *packed, const float *bias, const float *residual, void *scratch);

/// dx = conv^T(dy) + add. `add` (like dx, may be dx) may be null.
void ck_amx_conv_backward_data(const struct ck_conv *conv, float *dx, const float *dy, const void *packed,
                               const float *add, void *scratch);

/// dw (master layout) and, where not null, dbias [Co] of y = conv(u) + bias, u = prologue(x). Both are overwritten.
void ck_amx_conv_backward_weights(const struct ck_conv *conv, float *dw, float *dbias, const float *x,
                                  const struct ck_conv_prologue *prologue, const float *dy, void *scratch);

/// C = alpha·op(A)·op(B) + beta·C, row-major, any sizes; op(A) is M×K, op(B) K×N, op(X) = Xᵀ where `trans` is 1.
/// With beta = 0, C is not read. `rounds` as in ck_conv.
void ck_amx_gemm(int transA, int transB, long M, long N, long K, float alpha, const float *A, long lda, const float *B,
                 long ldb, float beta, float *C, long ldc, int rounds, void *scratch);
size_t ck_amx_gemm_scratch(long M, long N, long K);

/// As ck_attention_forward() and ck_attention_backward(), with the same `log_sum_exp`.
void ck_amx_attention_forward(const ck_attention *attention, const float *q, const float *k, const float *v, float *o,
                              float *log_sum_exp, void *scratch);
void ck_amx_attention_backward(const ck_attention *attention, const float *q, const float *k, const float *v,
                               const float *o, const float *log_sum_exp, const float *dO, float *dq, float *dk,
                               float *dv, void *scratch);

/// Bytes of scratch of each.
size_t ck_amx_attention_forward_scratch(const ck_attention *attention);
size_t ck_amx_attention_backward_scratch(const ck_attention *attention);
