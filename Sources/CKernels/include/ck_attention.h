/// Softmax, and scaled dot-product attention that never holds the whole score matrix (Dao et al. 2022).
#pragma once
#include "ck_layout.h"

/// y[r][i] = softmax_i(scale·x[r][i]), x, y [rows][n]; y may be x.
void ck_softmax(const float *x, float *y, long rows, long n, float scale);

typedef struct {
  long samples, heads, head_channels;  ///< channels C = heads·head_channels
  long queries, keys;                  ///< lengths L of q and o, and of k and v
  float scale;                         ///< 1/√head_channels
  ck_format format;                    ///< plain [N][C][L] or blocked [N][⌈C/16⌉][L][16], best with whole blocks a head
  /// Floats from one sample to the next, so that q, k, v may be channel ranges of one tensor; 0 means dense.
  long query_stride, key_stride, value_stride, output_stride;
  int rounds;  ///< 1: products round their operands to bfloat16; only where `ck_bf16_available()` or `ck_amx_available()`
} ck_attention;

/// Floats of workspace for each direction.
long ck_attention_forward_workspace(const ck_attention *attention);
long ck_attention_backward_workspace(const ck_attention *attention);

/// o_i = Σ_j softmax_j(scale·q_i·k_j)·v_j in each sample and head.
///   q, o (N, C, queries);  k, v (N, C, keys);  log_sum_exp (N, heads, queries) or NULL: kept for the gradient.
/// C % 16 ≠ 0 in blocked form: the outputs' padded lanes are left as they were, in both directions.
void ck_attention_forward(
  const ck_attention *attention, const float *q, const float *k, const float *v, float *o, float *log_sum_exp,
  float *workspace);

/// The gradients dq, dk, dv (overwritten, strides those of q, k, v), from `o` and `log_sum_exp` of the forward pass.
/// `o` and `dO` have output_stride.
void ck_attention_backward(
  const ck_attention *attention, const float *q, const float *k, const float *v, const float *o,
  const float *log_sum_exp, const float *dO, float *dq, float *dk, float *dv, float *workspace);
