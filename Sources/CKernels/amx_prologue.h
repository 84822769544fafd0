#pragma once
// u = act(x·scale + shift), 16 channels at a time, while an input is split.
#include "amx_tile.h"
#include "ck_amx.h"

struct ck_prologue16 {
  __m512 scale, shift;
  int affine, silu;
};

/// The prologue of 16 channels from `c0` of image `n`.
CK_AMX_INLINE struct ck_prologue16 ck_prologue_at(const struct ck_conv_prologue *p, long n, long channels, long c0) {
  struct ck_prologue16 at = {_mm512_set1_ps(1), _mm512_setzero_ps(), 0, 0};
  if (p && p->scale) {
    at.affine = 1;
    at.scale = _mm512_loadu_ps(p->scale + n * channels + c0);
    at.shift = _mm512_loadu_ps(p->shift + n * channels + c0);
  }
  at.silu = p && p->silu;
  return at;
}

/// exp(x) to about 1 ulp: x = n·ln 2 + r, exp(x) = 2^n·exp(r), exp(r) by its Taylor-like minimax polynomial (Cephes).
CK_AMX_INLINE __m512 ck_exp16(__m512 x) {
  // min and max return their second operand where one is NaN.
  x = _mm512_max_ps(_mm512_set1_ps(-104.0f), _mm512_min_ps(_mm512_set1_ps(88.7f), x));
  __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
  p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, _mm512_add_ps(r, _mm512_set1_ps(1)));
  return _mm512_scalef_ps(p, n);
}

CK_AMX_INLINE __m512 ck_prologue_apply(struct ck_prologue16 p, __m512 x) {
  if (p.affine) x = _mm512_fmadd_ps(x, p.scale, p.shift);
  if (!p.silu) return x;
  // silu(z) = z / (1 + exp(-z)), the reciprocal by a Newton step from 14 bits: half the time of a division.
  __m512 d = _mm512_add_ps(_mm512_set1_ps(1), ck_exp16(_mm512_sub_ps(_mm512_setzero_ps(), x)));
  __m512 r = _mm512_rcp14_ps(d);
  r = _mm512_fmadd_ps(r, _mm512_fnmadd_ps(d, r, _mm512_set1_ps(1)), r);
  return _mm512_mul_ps(x, r);
}
