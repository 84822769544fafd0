#pragma once
// How an image becomes tiles.
//
// A correlation reads, for each position (i, j) of an image, the input pixels (i·stride + dy, j·stride + dx) of its taps.
// A unit is a range of position rows; images follow one another, so row g is row g mod rows of image g / rows. The input
// rows a unit needs are copied to a stream: image segments one after another, each with its border rows, and columns of
// zeros between rows, the right border of one row being the left border of the next. Every tap is then one offset into
// the stream, and consecutive positions are equidistant pixels of it: what a tile load wants.
//
// Narrow images would waste much of each tile on borders. For them the stream is expanded into panels without border
// columns, one for each dx (and each parity of dy where strided); a tap is again one offset.
#include "ck_amx.h"
#include "ck_parallel.h"
#include "ck_work.h"
#include <stdint.h>

enum { CK_MAX_TAPS = 9 };

struct ck_correlation {
  long N;
  long in_h, in_w;      // the image read
  long rows, columns;   // positions in each image
  long stride;
  long taps, dy[CK_MAX_TAPS], dx[CK_MAX_TAPS];
  long slot[CK_MAX_TAPS];              // which K×K weight the tap multiplies
  long out_blocks, out_h, out_w;         // blocks of 16 channels, and size, of the image positions belong to:
  long out_stride, out_row, out_column;  // position (i, j) is its pixel (i, j)·out_stride + (out_row, out_column)
};

struct ck_stream {
  struct ck_correlation of;
  long first_dy, span;           // input rows dy for the first tap row, and how many tap rows
  long pad_left, pitch;          // zeros left of a row, and pixels from row to row
  long panels;                   // 0 where tiles come from the stream itself
  long panel_dx[CK_MAX_TAPS], panel_phase[CK_MAX_TAPS];
  long panel_pitch, panel_span;  // positions from row to row, and rows more than position rows, plus 1
  long tap_offset[CK_MAX_TAPS];  // of position 0, in pixels
  long max_rows;                 // position rows of a unit, at most
  long max_pixels;               // of the stream, borders and slack included
  long max_panel;                // of a panel, likewise
  long max_blocks;               // blocks of positions of a unit
};

/// Runs of consecutive positions: `start` is the first one, counted in positions of the stream or panel;
/// `pixel` says where in [N][out_blocks][out_h·out_w], at block 0, each belongs, or -1.
struct ck_blocks {
  long count;
  int32_t *start;  // [count]
  int32_t *pixel;  // [count][lanes]
};

/// Geometry of `of` for units of at most `max_rows` position rows, expanded or not.
void ck_stream_init(struct ck_stream *stream, const struct ck_correlation *of, long max_rows, int expanded);

/// Whether tiles of 16 positions save enough by expansion.
int ck_stream_narrow(const struct ck_correlation *of);

/// Cuts unit [first_row, last_row) into blocks of `lanes` positions that begin at multiples of `align`.
void ck_stream_blocks(const struct ck_stream *stream, long first_row, long last_row, long lanes, long align,
                      struct ck_blocks *blocks);

/// The correlations of a convolution: forward; backward data for output pixels of parity (row, column) where strided.
void ck_correlation_forward(const struct ck_conv *conv, struct ck_correlation *of);
void ck_correlation_backward_data(const struct ck_conv *conv, long row, long column, struct ck_correlation *of);

/// Where tiles may begin: the first cache line at or after `scratch`. Hence the 64 bytes more that every scratch has.
static inline char *ck_aligned(void *scratch) { return (char *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63); }

/// Takes `bytes` (rounded to cache lines) from a scratch cursor; with a null base it only counts.
static inline void *ck_take(char **cursor, size_t bytes) {
  char *taken = *cursor;
  *cursor = (char *)((uintptr_t)taken + ((bytes + 63) & ~(size_t)63));
  return taken;
}
