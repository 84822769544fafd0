/// Winograd's passes with weights that are transformed where they are used, for either arithmetic.
#pragma once
#include "ck_winograd_forward.h"

/// How V, U and their products are made. V and U are numbers of 32 bits: floats, or two bfloat16 each, of two inputs.
typedef struct {
  long inputs;        ///< of a number
  long weight_bytes;  ///< of each weight that is given: 4, or 2 of a bfloat16, forward alone
  /// Blocks `those` of V[point][tile][depth] of the tiles first..<last of x, tile `first` being row 0.
  void (*transform_input)(const winograd_job *job, long first, long last, span those, float *v, long stride);
  /// U[6][depth][width] at the six points of row `row`, of one panel of outputs: w is [width/16][inputs/16][tap][16 i][16 o].
  void (*transform_points)(int row, const void *w, long inputs, long width, float *u, long stride);
  /// C (m × n) = A (m × k) · B (k × n): rows of A of k numbers, of B and C of n; with each row of B `step` floats at `next` are fetched.
  void (*multiply)(long m, long n, long k, const float *a, const float *b, float *c, const float *next, long step);
  /// M[point][tile][m_row] of 16 outputs from V and w, without U, for up to `few` tiles: the same sums as by the others; NULL where there is
  /// none.
  void (*sum_few)(
    long tiles, const void *w, const float *v, float *m, long inputs, long v_stride, long m_stride, long m_row);
  long few;
} winograd_arithmetic;

/// Whether U of so many numbers of 32 bits at each point is made beforehand: as long as it stays in the second-level cache.
CK_INLINE int is_made_beforehand(long numbers) { return POINTS * numbers <= 1 << 18; }

/// Floats of workspace for this direction.
long winograd_panels_workspace(
  const winograd_arithmetic *arithmetic, const ck_winograd *conv, long inputs, long outputs, int backward);

void winograd_panels(const winograd_arithmetic *arithmetic, const winograd_job *job);
