/// What direct convolutions have in common, in whatever numbers they multiply: Y (positions × results) = X · Wᵀ, where a row of X holds what
/// its position reads of the source, tap by tap.
#pragma once
#include "CKernels.h"
#include "ck_gemm.h"

/// The positions of a pass, one for each pixel of the target that it computes, and the pixels of the source that they read: position
/// (p, q) is the target's pixel start + spacing·(p, q), and its tap (a, b) reads the source's pixel first + step·(p, q) + (a, b). Forward all
/// of y is one lattice; the gradient of x has stride² of them, for which of w's taps reach a pixel depends on its place modulo the stride.
typedef struct {
  long samples, channels, height, width;   ///< the source's
  long results, to_height, to_width;       ///< the target's
  long rows, columns;                      ///< of positions, in each image
  long start_row, start_column, spacing;
  long first_row, first_column, step;
  long tap_rows, tap_columns;
  long kernel_row, kernel_column, kernel_step;  ///< tap (a, b) has the weights of w's (kernel_row, kernel_column) + kernel_step·(a, b)
} lattice;

/// A position: its image, its row and its column.
typedef struct {
  long image, row, column;
} place;

CK_INLINE int fills_blocks(long channels) { return channels % 16 == 0; }
CK_INLINE long taps_of(const lattice *l) { return l->tap_rows * l->tap_columns; }
/// Numbers of a row of X: [channels/16][tap][16] of a blocked source, [channels][tap] of a plain one.
CK_INLINE long depth_of(const lattice *l) { return l->channels * taps_of(l); }
CK_INLINE long positions_of(const lattice *l) { return l->samples * l->rows * l->columns; }

CK_INLINE lattice forward_lattice(const ck_direct *c) {
  return (lattice){
    c->samples, c->inputs, c->height, c->width, c->outputs, c->out_height, c->out_width, c->out_height, c->out_width,
    0, 0, 1, -c->top, -c->left, c->stride, c->kernel_height, c->kernel_width, 0, 0, 1};
}

/// The lattice of the gradient's pixels (row, column) + stride·(p, q). Of w's taps those reach it whose distance from it, padding counted, is a
/// multiple of the stride; from the last, for the filter is turned by 180°.
CK_INLINE lattice backward_lattice(const ck_direct *c, long row, long column) {
  long s = c->stride, from_top = row + c->top, from_left = column + c->left;
  long tap_rows = max_long(0, ceil_div(c->kernel_height - from_top % s, s));
  long tap_columns = max_long(0, ceil_div(c->kernel_width - from_left % s, s));
  long last_row = from_top % s + s * (tap_rows - 1), last_column = from_left % s + s * (tap_columns - 1);
  return (lattice){
    c->samples, c->outputs, c->out_height, c->out_width, c->inputs, c->height, c->width,
    max_long(0, ceil_div(c->height - row, s)), max_long(0, ceil_div(c->width - column, s)), row, column, s,
    from_top / s - (tap_rows - 1), from_left / s - (tap_columns - 1), 1, tap_rows, tap_columns,
    last_row, last_column, -s};
}

/// Which of w's taps tap number `tap` is.
CK_INLINE long kernel_tap(const lattice *l, long kernel_width, long tap) {
  long a = tap / l->tap_columns, b = tap % l->tap_columns;
  return (l->kernel_row + l->kernel_step * a) * kernel_width + l->kernel_column + l->kernel_step * b;
}

CK_INLINE place place_of(const lattice *l, long position) {
  long pixels = l->rows * l->columns, pixel = position % pixels;
  return (place){position / pixels, pixel / l->columns, pixel % l->columns};
}

/// The next position.
CK_INLINE void advance(const lattice *l, place *at) {
  if (++at->column < l->columns) return;
  at->column = 0;
  if (++at->row < l->rows) return;
  at->row = 0, at->image++;
}

/// Where the first channel of an image's pixel is in a tensor of so many channels.
CK_INLINE long pixel_offset(long channels, long height, long width, long image, long row, long column) {
  return image * channels * height * width + (row * width + column) * (fills_blocks(channels) ? 16 : 1);
}

/// Whether each position reads the one pixel of a blocked source that is as far along: a kernel of 1×1.
CK_INLINE int reads_in_place(const lattice *l) {
  return fills_blocks(l->channels) && taps_of(l) == 1 && l->step == 1 && l->first_row == 0 && l->first_column == 0 &&
         l->rows == l->height && l->columns == l->width;
}

/// Whether positions are the pixels of a blocked target in their order.
CK_INLINE int writes_in_place(const lattice *l) {
  return fills_blocks(l->results) && l->spacing == 1 && l->rows == l->to_height && l->columns == l->to_width;
}

/// Where a position's first result is in the target.
CK_INLINE long corner_of(const lattice *l, place at) {
  return pixel_offset(
    l->results, l->to_height, l->to_width, at.image, l->start_row + l->spacing * at.row,
    l->start_column + l->spacing * at.column);
}

/// Where the first of x's channels, of which there are so many, is that tap (a, b) of a position reads, inside the image or not.
CK_INLINE long tap_offset(const lattice *l, long channels, place at, long a, long b) {
  long row = l->first_row + l->step * at.row + a, column = l->first_column + l->step * at.column + b;
  return pixel_offset(channels, l->height, l->width, at.image, row, column);
}

/// Positions that follow one another in a row of an image.
typedef struct {
  place at;
  long count;
} run;

/// The first of the positions `those` that are in one row.
CK_INLINE run run_of(const lattice *l, span those) {
  place at = place_of(l, those.first);
  return (run){at, min_long(l->columns - at.column, those.last - those.first)};
}

/// Those of a run's positions whose tap (a, b) is inside the image: none where the tap's row is not.
CK_INLINE span inside(const lattice *l, run r, long a, long b) {
  long row = l->first_row + l->step * r.at.row + a, column = l->first_column + l->step * r.at.column + b;
  if (row < 0 || row >= l->height) return (span){0, 0};
  long first = max_long(0, -column), last = max_long(0, l->width - column);
  if (l->step > 1) first = ceil_div(first, l->step), last = ceil_div(last, l->step);
  return (span){min_long(first, r.count), max_long(min_long(first, r.count), min_long(last, r.count))};
}

/// Positions taken together by one thread.
enum { CK_POSITIONS = 48 };

/// What a pass multiplies.
typedef struct {
  long bytes;      ///< of an operand's number
  int are_floats;  ///< so that a product can read them where they are
  /// Writes channels `of` of the source, whole blocks where it is blocked, at the positions `those`: number n of row i of X to x[i·row + n·column].
  /// The source has `channels` channels at `from`. Of a blocked one column is 1; of a plain one row may be, so that neighbours stay neighbours.
  void (*read)(const lattice *l, const float *from, long channels, span of, span those, void *x, long row, long column);
  void (*multiply)(const ck_blocks_gemm *gemm);
} ck_operands;

/// The operands that are floats.
extern const ck_operands ck_float_operands;

/// Forward, and the gradient of x, where conv's outputs are the source.
typedef struct {
  const ck_operands *operands;
  const ck_direct *conv;
  int backward;
  ck_parts x;           ///< the source
  const void *weights;  ///< of each lattice [⌈results/16⌉][depth][16]
  const float *bias, *residual;
  float *y;  ///< the target
  void *workspace;
} ck_direct_pass;

/// Bytes of workspace.
size_t ck_direct_pass_workspace(const ck_operands *operands, const ck_direct *conv, int backward);
void ck_run_direct_pass(const ck_direct_pass *pass);
