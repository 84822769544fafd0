/// One pass over a parameter and its moments: clip, Adam or AdamW, exponential moving average.
#pragma once

typedef struct {
  double learning_rate, beta1, beta2, epsilon;
  double weight_decay;
  int decoupled;          ///< 1: AdamW, p −= lr·λ·p;  0: Adam with L2, g += λ·p
  double gradient_scale;  ///< multiplies g first: 1, or the clip max_norm / ‖g‖
  double ema_decay;       ///< used where ema is not NULL
  double bias_correction1, bias_correction2;  ///< 1 − β₁ᵗ and 1 − β₂ᵗ
} ck_adam;

/// As torch.optim.Adam(W), with g ← gradient_scale·g:
///   m ← β₁m + (1−β₁)g      v ← β₂v + (1−β₂)g²
///   p ← p − lr/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)      ema ← ema + (1−d)(p − ema)
/// p, g, m, v, ema have n elements; ema may be NULL.
void ck_adam_step(const ck_adam *adam, float *p, const float *g, float *m, float *v, float *ema, long n);
