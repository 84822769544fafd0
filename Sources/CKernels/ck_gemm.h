/// The register-blocked matrix product inside Winograd and attention.
#pragma once
#include "ck_internal.h"

/// Columns of one packed panel.
enum { CK_PANEL = 32 };

/// Numbers of 32 bits of B by which a product fetches it ahead: 2 KiB.
enum { CK_AHEAD = 512 };

/// Rows of B taken together, whose products are summed from zero: 32 columns of them, 32 KiB, stay in the first-level cache while the rows
/// of A pass.
enum { CK_DEPTH = 256 };

/// C (m × n) = A (m × k) · B (k × n), or C += with `accumulate`; n % 16 = 0.
///   A: element (i, l) at a[i·a_row + l·a_column];  C: rows of c_row floats;
///   B packed in panels: column j of row l at b[(j / 32)·32·k + l·w + j % 32], w = the panel's width, 32 or, for the
///   last, 16.
/// Runs on the calling thread.
void ck_gemm(
  long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c, long c_row,
  int accumulate);

/// The same, where B is in a near cache already: with each of its rows `step` floats at `next` are fetched in its place.
void ck_gemm_fetching(
  long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c, long c_row,
  int accumulate, const float *next, long step);

/// The same, where A and C are in a cache that others share, or in memory: both are fetched before they are needed.
void ck_gemm_far(
  long m, long n, long k, const float *a, long a_row, long a_column, const float *b, float *c, long c_row,
  int accumulate);

/// C: rows `row` floats apart, of one or two lines `half` apart; and what sums start from: C, or what each column has; and what lies as C does.
typedef struct {
  float *c;
  long row, half;
  const float *bias, *residual;
  int continues, streams;
} result_side;

/// C (m × n) = A (m × k) · B (k × n) + bias + residual, blocks of 16 columns wherever they are; n % 16 = 0, k > 0. A and B are floats, or words of two numbers.
typedef struct {
  long m, n, k;
  const void *a;  ///< element (i, l) at a[i·a_row + l·a_column], or in blocks of 16, a[i·a_row + l / 16 · a_block + l % 16], where a_block is not 0
  long a_row, a_column, a_block;
  const void *b;  ///< in blocks of 16 columns: column j of row l at b[j / 16 · b_block + l·16 + j % 16]
  long b_block;
  float *c;  ///< element (i, j) at c[i·c_row + j / 16 · c_block + j % 16]
  long c_row, c_block;
  const float *bias, *residual;  ///< of each column, and as C, which it may be; or NULL
  int continues, accumulate;     ///< whether sums start from C in place of bias; whether they are added to C, k ≤ CK_DEPTH
  int streams;                   ///< whether C is written past the caches
} ck_blocks_gemm;

void ck_gemm_of_blocks(const ck_blocks_gemm *gemm);

/// Where panel `panel` of a packed (k × n) matrix begins, and its width.
CK_INLINE long panel_offset(long panel, long k) { return panel * CK_PANEL * k; }
CK_INLINE long panel_width(long panel, long n) { return min_long(CK_PANEL, n - panel * CK_PANEL); }

/// Whether vectors of 16 floats are registers, of which there are 32.
CK_INLINE int has_wide_registers(void) {
#if defined(__x86_64__) && !defined(CK_NARROW)
  return __builtin_cpu_supports("avx512f") != 0;
#else
  return 0;
#endif
}
