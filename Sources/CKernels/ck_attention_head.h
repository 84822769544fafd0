/// What both directions of attention share: their plan, and one head of a tensor as a matrix.
//
// The score matrix is made a block of query rows at a time. Both layouts are packed, 16 × 16 tiles at a time, into the
// panels that ck_gemm wants; that costs L·C against the products' L²·C.
#pragma once
#include "CKernels.h"
#include "ck_bf16_words.h"
#include "ck_gemm.h"

#pragma clang fp contract(fast)

// MARK: one head of a tensor, as a matrix of positions × channels

typedef struct {
  float *base;     ///< the sample's
  long first;      ///< its first channel
  long channels, length;
  ck_format format;
  int whole;       ///< blocked, and made of whole blocks
} head;

CK_INLINE head head_of(const ck_attention *attention, const float *x, long stride, long length, long item) {
  long channels = attention->head_channels, all = attention->heads * channels;
  long first = item % attention->heads * channels;
  int is_blocked = attention->format == CK_BLOCKED;
  if (stride == 0) stride = (is_blocked ? round_up(all, 16) : all) * length;
  return (head){
    (float *)x + item / attention->heads * stride, first, channels, length, attention->format,
    is_blocked && channels % 16 == 0};
}

/// A run of neighbouring channels of a blocked head: `count` floats at position 0 of `at`, 16 floats a position.
typedef struct {
  float *at;
  long count;
} run;

/// The channels of a blocked head from c on, up to `limit` of them, as far as they stand in one block.
CK_INLINE run run_of(const head *h, long c, long limit) {
  long channel = h->first + c;
  return (run){h->base + channel / 16 * 16 * h->length + channel % 16, min_long(limit, 16 - channel % 16)};
}

/// Copies `positions` × `channels` of a blocked head that shares its blocks with others, out of it or (`put`) into it;
/// tile [16][16].
CK_INLINE void move_shared(const head *h, long c0, long i0, long channels, long positions, float *tile, int put) {
  for (long c = 0; c < channels;) {
    run r = run_of(h, c0 + c, channels - c);
    for (long i = 0; i < positions; i++) {
      float *outside = r.at + (i0 + i) * 16, *inside = tile + i * 16 + c;
      if (put)
        memcpy(outside, inside, (size_t)r.count * sizeof(float));
      else
        memcpy(inside, outside, (size_t)r.count * sizeof(float));
    }
    c += r.count;
  }
}

/// out[c][i], 16 channels from c0 (those that exist) × 16 positions from i0 (zero beyond the last).
CK_INLINE void tile_by_channel(const head *h, long c0, long i0, float *out, long out_row) {
  long channels = min_long(16, h->channels - c0), positions = min_long(16, h->length - i0);
  if (h->format == CK_PLAIN) {
    for (long c = 0; c < channels; c++) {
      const float *in = h->base + (h->first + c0 + c) * h->length + i0;
      v16 values;
      if (positions == 16)
        values = load16(in);
      else
        load_part(&values, in, positions, 0);
      store16(out + c * out_row, values);
    }
    return;
  }
  if (h->whole && positions == 16) return transpose16(run_of(h, c0, 16).at + i0 * 16, 16, out, out_row);
  float tile[16][16], turned[16][16];
  memset(tile, 0, sizeof tile);
  move_shared(h, c0, i0, channels, positions, tile[0], 0);
  transpose16(tile[0], 16, turned[0], 16);
  for (long c = 0; c < channels; c++) store16(out + c * out_row, load16(turned[c]));
}

/// out[i][c], 16 positions from i0 (those that exist) × 16 channels from c0 (zero beyond the last), times `scale`.
CK_INLINE void tile_by_position(const head *h, long c0, long i0, float scale, float *out, long out_row) {
  long channels = min_long(16, h->channels - c0), positions = min_long(16, h->length - i0);
  if (h->whole) {
    const float *in = run_of(h, c0, 16).at + i0 * 16;
    for (long i = 0; i < positions; i++) store16(out + i * out_row, load16(in + i * 16) * scale);
    return;
  }
  float tile[16][16], turned[16][16], *rows = tile[0];
  memset(tile, 0, sizeof tile);
  if (h->format == CK_PLAIN) {
    tile_by_channel(h, c0, i0, tile[0], 16);
    transpose16(tile[0], 16, turned[0], 16);
    rows = turned[0];
  } else {
    move_shared(h, c0, i0, channels, positions, tile[0], 0);
  }
  for (long i = 0; i < positions; i++) store16(out + i * out_row, load16(rows + i * 16) * scale);
}

/// The inverse: the head's tile from in[i][c].
CK_INLINE void put_tile(const head *h, long c0, long i0, const float *in, long in_row) {
  long channels = min_long(16, h->channels - c0), positions = min_long(16, h->length - i0);
  if (h->whole) {
    float *out = run_of(h, c0, 16).at + i0 * 16;
    for (long i = 0; i < positions; i++) store16(out + i * 16, load16(in + i * in_row));
    return;
  }
  float tile[16][16], turned[16][16];
  for (long i = 0; i < 16; i++) store16(tile[i], i < positions ? load16(in + i * in_row) : (v16){0});
  if (h->format == CK_BLOCKED) return move_shared(h, c0, i0, channels, positions, tile[0], 1);
  transpose16(tile[0], 16, turned[0], 16);
  for (long c = 0; c < channels; c++) {
    float *out = h->base + (h->first + c0 + c) * h->length + i0;
    v16 values = load16(turned[c]);
    if (positions == 16)
      store16(out, values);
    else
      store_part(out, positions, &values);
  }
}

/// Rounds a packed right operand (k × n) where it is, if `rounds`.
CK_INLINE void round_packed(long n, long k, int rounds, float *out) {
#if defined(__x86_64__)
  if (rounds) ck_bf16_round_panels(n, k, out);
#endif
}

/// Packs the head as (channels × positions), rounded or not: columns are positions, padded to 16 with zeros.
CK_CLONES static void pack_by_channel(const head *h, int rounds, float *out) {
  long columns = round_up(h->length, 16);
  for (long i0 = 0; i0 < columns; i0 += 16) {
    long panel = i0 / CK_PANEL, width = panel_width(panel, columns);
    for (long c0 = 0; c0 < h->channels; c0 += 16)
      tile_by_channel(h, c0, i0, out + panel_offset(panel, h->channels) + c0 * width + i0 % CK_PANEL, width);
  }
  round_packed(columns, h->channels, rounds, out);
}

/// Packs positions first..<last as (positions × channels), times `scale`, rounded or not: columns are channels, padded to 16 with
/// zeros.
/// first % 16 = 0, and last % 16 = 0 or last is the length.
CK_CLONES static void pack_by_position(const head *h, long first, long last, float scale, int rounds, float *out) {
  long columns = round_up(h->channels, 16);
  for (long c0 = 0; c0 < columns; c0 += 16) {
    long panel = c0 / CK_PANEL, width = panel_width(panel, columns);
    float *to = out + panel_offset(panel, last - first) + c0 % CK_PANEL;
    for (long i0 = first; i0 < last; i0 += 16) tile_by_position(h, c0, i0, scale, to + (i0 - first) * width, width);
  }
  round_packed(columns, last - first, rounds, out);
}

/// The same in rows of `row` floats.
CK_CLONES static void rows_by_position(const head *h, long first, long last, float scale, float *out, long row) {
  for (long c0 = 0; c0 < h->channels; c0 += 16)
    for (long i0 = first; i0 < last; i0 += 16) tile_by_position(h, c0, i0, scale, out + (i0 - first) * row + c0, row);
}

/// Writes positions first..<last of the head from rows of `row` floats.
CK_CLONES static void put_rows(const head *h, long first, long last, const float *in, long row) {
  for (long c0 = 0; c0 < h->channels; c0 += 16)
    for (long i0 = first; i0 < last; i0 += 16) put_tile(h, c0, i0, in + (i0 - first) * row + c0, row);
}

// MARK: plan

/// What every part of the two passes needs to know.
typedef struct {
  const ck_attention *attention;
  const float *q, *k, *v, *o, *dO;
  float *out, *log_sum_exp, *dq, *dk, *dv, *workspace;
  long channels;       ///< of a head
  long padded;         ///< the same, to a multiple of 16
  long columns;        ///< keys, to a multiple of 16
  long score_row;      ///< floats of a row of scores; odd in cache lines, so that rows do not share cache sets
  long block;          ///< query rows taken together, a multiple of 16
  long words;          ///< what rounding takes of a thread's workspace, in floats
} job;

CK_INLINE job make_job(const ck_attention *attention) {
  job j = {.attention = attention, .channels = attention->head_channels};
  j.padded = round_up(j.channels, 16);
  j.columns = round_up(attention->keys, 16);
  j.score_row = (j.columns / 16 | 1) * 16 + (j.columns / 16 % 2 ? 32 : 0);
  // Scores of a block: 32 KiB, within the first-level cache; 128 KiB for wide heads, which then use packed K and V more
  // often.
  long scores = j.channels <= 32 ? 1L << 13 : 1L << 15;
  j.block = max_long(16, min_long(96, scores / j.columns / 16 * 16));
  j.block = min_long(j.block, round_up(attention->queries, 16));
  // The largest left operand: q, scores, or their columns over a block of rows.
  if (attention->rounds)
    j.words = max_long(rounded_words(j.block, max_long(j.channels, j.columns)), rounded_words(j.columns, j.block));
  return j;
}

/// `ck_gemm`, or its like on rounded operands, of which `words` is where the left one goes; the right one was rounded as it was packed.
CK_INLINE void multiply(
  const job *j, float *words, long m, long n, long k, const float *a, long a_row, long a_column, const float *b,
  float *c, long c_row, int accumulate) {
#if defined(__x86_64__)
  if (j->attention->rounds)
    return ck_bf16_rounded_gemm(
      m, n, k, a, a_row, a_column, (const ck_pair_word *)b, c, c_row, accumulate, (ck_pair_word *)words);
#endif
  ck_gemm(m, n, k, a, a_row, a_column, b, c, c_row, accumulate);
}

/// Scores of keys that do not exist become −∞, so that rows are whole vectors and the exponentials there zero.
CK_INLINE void hide_padding(float *scores, long keys, long columns) {
  for (long k = keys; k < columns; k++) scores[k] = -INFINITY;
}
