#pragma once
// One head of a tensor as a matrix of positions × channels, packed into tiles and stored from them.
#include "ck_attention.h"
#include "amx_stream.h"

struct ck_head {
  float *base;
  long length, channels;
  int blocked;  // [channels/16][length][16], else [channels][length]
  int rounds;   // packed as hi alone
};

/// Head `item` (sample·heads + head) of a tensor with `stride` floats a sample (0: dense).
static inline struct ck_head ck_head_of(const ck_attention *a, const float *x, long stride, long length, long item) {
  if (!stride) stride = a->heads * a->head_channels * length;
  const long sample = item / a->heads, head = item % a->heads;
  return (struct ck_head){(float *)x + sample * stride + head * a->head_channels * length, length, a->head_channels,
                          a->format == CK_BLOCKED, a->rounds};
}

/// Bytes of `lines` rows or columns, split, with `ks` summed over.
static inline long ck_packed_bytes(long lines, long ks) { return ceil_div(lines, 32) * 2 * ceil_div(ks, 32) * 2048; }

#if defined(__x86_64__)
#include "amx_pack.h"
#include "amx_prologue.h"

/// Where 16-line block `block` with `steps` blocks of 32 k begins.
static inline char *ck_packed_block(char *packed, long block, long steps) {
  return packed + block * steps * 2 * CK_TILE;
}

/// Positions [first, last) as lines, channels as k: A tiles, or B tiles where `b_tile`: [16 positions][steps][hi, lo].
CK_AMX_INLINE void ck_pack_positions(struct ck_head h, long first, long last, int b_tile, char *packed) {
  const long steps = ceil_div(h.channels, 32);
  for (long l = first; l < last; l += 16) {
    for (long s = 0; s < steps; s++, packed += 2 * CK_TILE) {
      const long lines = min_long(16, last - l), c = s * 32;
      if (!h.blocked) {
        struct ck_lines from = {h.base + c * h.length + l, 1, h.length};
        ck_pack_tile(from, lines, min_long(32, h.channels - c), b_tile, packed,
                     h.rounds ? NULL : packed + CK_TILE);
        continue;
      }
      const float *p0 = h.base + (c * h.length + l * 16), *p1 = p0 + h.length * 16;
      __m512i hi[16], lo[16];
      for (long r = 0; r < 16; r++) {
        __m512 x0 = r < lines ? _mm512_loadu_ps(p0 + r * 16) : _mm512_setzero_ps();
        __m512 x1 = r < lines && c + 16 < h.channels ? _mm512_loadu_ps(p1 + r * 16) : _mm512_setzero_ps();
        ck_split32(x0, x1, &hi[r], &lo[r]);
      }
      if (b_tile) ck_transpose16(hi);
      for (int r = 0; r < 16; r++) _mm512_store_si512(packed + r * 64, hi[r]);
      if (h.rounds) continue;
      if (b_tile) ck_transpose16(lo);
      for (int r = 0; r < 16; r++) _mm512_store_si512(packed + CK_TILE + r * 64, lo[r]);
    }
  }
}

/// Channels as columns, positions [first, last) as k: B tiles [16 channels][steps][hi, lo].
CK_AMX_INLINE void ck_pack_channels(struct ck_head h, long first, long last, char *packed) {
  for (long c = 0; c < h.channels; c += 16) {
    for (long l = first; l < last; l += 32, packed += 2 * CK_TILE) {
      struct ck_lines from = {h.base + c * h.length + l, h.length, 1};
      if (h.blocked) from = (struct ck_lines){h.base + c * h.length + l * 16, 1, 16};
      ck_pack_tile(from, min_long(16, h.channels - c), min_long(32, last - l), 1, packed,
                   h.rounds ? NULL : packed + CK_TILE);
    }
  }
}

/// Rows [first, last) of a row-major matrix as lines of A tiles, its columns as k.
CK_AMX_INLINE void ck_pack_rows(const float *matrix, long pitch, long first, long last, long columns, int rounds, char *packed) {
  for (long r = first; r < last; r += 16)
    for (long k = 0; k < columns; k += 32, packed += 2 * CK_TILE)
      ck_pack_tile((struct ck_lines){matrix + r * pitch + k, pitch, 1}, min_long(16, last - r),
                   min_long(32, columns - k), 0, packed, rounds ? NULL : packed + CK_TILE);
}

/// Its columns as lines of A tiles, its rows [0, rows) as k.
CK_AMX_INLINE void ck_pack_columns(const float *matrix, long pitch, long rows, long columns, int rounds,
                                   char *packed) {
  for (long c = 0; c < columns; c += 16)
    for (long k = 0; k < rows; k += 32, packed += 2 * CK_TILE)
      ck_pack_tile((struct ck_lines){matrix + k * pitch + c, 1, pitch}, min_long(16, columns - c),
                   min_long(32, rows - k), 0, packed, rounds ? NULL : packed + CK_TILE);
}

/// Stores C tile (rows: positions from l, columns: channels from c) into a head.
CK_AMX_INLINE void ck_store_head(struct ck_head h, long l, long c, const float *tile) {
  const long rows = min_long(16, h.length - l);
  if (h.blocked) {
    for (long r = 0; r < rows; r++)
      _mm512_storeu_ps(h.base + c * h.length + (l + r) * 16, _mm512_load_ps(tile + r * 16));
    return;
  }
  const __mmask16 mask = (__mmask16)((1u << rows) - 1);
  __m512i row[16];
  for (int r = 0; r < 16; r++) row[r] = _mm512_load_si512(tile + r * 16);
  ck_transpose16(row);
  for (long r = 0; r < min_long(16, h.channels - c); r++)
    _mm512_mask_storeu_ps(h.base + (c + r) * h.length + l, mask, _mm512_castsi512_ps(row[r]));
}

/// The offsets of consecutive packed tiles.
static inline void ck_fill_steps(int32_t *step, long steps) {
  for (long s = 0; s < steps; s++) step[s] = (int32_t)(s * 2 * CK_TILE);
}

/// The product of two 16-line blocks of A at m and two of B at n: those of the pair that exist among `ms`, `ns`.
CK_AMX_INLINE void ck_multiply_packed(char *a, long m, long ms, char *b, long n, long ns, long steps,
                                      const int32_t *step, int rounds, int accumulate, float *c) {
  struct ck_product product = {.a_step = step, .b_step = step, .a_lo = CK_TILE, .b_lo = CK_TILE, .a_pitch = 64,
                               .steps = steps, .rounds = rounds};
  for (int i = 0; i < 2; i++) {
    product.a[i] = ck_packed_block(a, m + i, steps);
    product.b[i] = ck_packed_block(b, n + i, steps);
  }
  ck_multiply(&product, m + 1 < ms ? 2 : 1, n + 1 < ns ? 2 : 1, accumulate, c);
}

/// matrix[m·16 …][n·16 …] = factor·tile for each tile of the pair.
CK_AMX_INLINE void ck_store_rows(float *matrix, long pitch, long m, long ms, long n, long ns, __m512 factor,
                                 const float *c) {
  for (long i = 0; i < 2 && m + i < ms; i++)
    for (long j = 0; j < 2 && n + j < ns; j++)
      for (long r = 0; r < 16; r++)
        _mm512_storeu_ps(matrix + ((m + i) * 16 + r) * pitch + (n + j) * 16,
                         _mm512_mul_ps(factor, _mm512_load_ps(c + (i * 2 + j) * 256 + r * 16)));
}

/// head = A·B for all 16-line blocks: A lines are positions from `first`, B lines channels.
CK_AMX_INLINE void ck_product_to_head(char *a, long ms, long first, char *b, struct ck_head to, long steps,
                                      const int32_t *step) {
  float c[1024] __attribute__((aligned(64)));
  const long ns = ceil_div(to.channels, 16);
  for (long n = 0; n < ns; n += 2)
    for (long m = 0; m < ms; m += 2) {
      ck_multiply_packed(a, m, ms, b, n, ns, steps, step, to.rounds, 0, c);
      for (long i = 0; i < 2 && m + i < ms; i++)
        for (long j = 0; j < 2 && n + j < ns; j++)
          ck_store_head(to, first + (m + i) * 16, (n + j) * 16, c + (i * 2 + j) * 256);
    }
}
#endif
