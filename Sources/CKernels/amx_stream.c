#include "amx_stream.h"

void ck_correlation_forward(const struct ck_conv *c, struct ck_correlation *of) {
  *of = (struct ck_correlation){
      .N = c->N, .in_h = c->H, .in_w = c->W, .stride = c->stride, .taps = c->K * c->K, .out_stride = 1,
      .out_blocks = c->Co / 16};
  of->rows = of->out_h = (c->H + c->pad_low + c->pad_high - c->K) / c->stride + 1;
  of->columns = of->out_w = (c->W + c->pad_low + c->pad_high - c->K) / c->stride + 1;
  for (long k = 0; k < of->taps; k++) {
    of->dy[k] = k / c->K - c->pad_low;
    of->dx[k] = k % c->K - c->pad_low;
    of->slot[k] = k;
  }
}

// y[o] reads x[o·stride + k - pad], so dx[i] reads dy[(i + pad - k) / stride] wherever that divides. Pixels i of one
// parity i = i'·stride + row share their taps, at dy[i' + (row + pad - k) / stride].
void ck_correlation_backward_data(const struct ck_conv *c, long row, long column, struct ck_correlation *of) {
  struct ck_correlation forward;
  ck_correlation_forward(c, &forward);
  *of = (struct ck_correlation){.N = c->N, .in_h = forward.out_h, .in_w = forward.out_w, .stride = 1,
                                .out_blocks = c->Ci / 16, .out_h = c->H, .out_w = c->W, .out_stride = c->stride,
                                .out_row = row, .out_column = column};
  of->rows = ck_ceil(c->H - row, c->stride);
  of->columns = ck_ceil(c->W - column, c->stride);
  for (long k = 0; k < c->K * c->K; k++) {
    long y = row + c->pad_low - k / c->K, x = column + c->pad_low - k % c->K;
    if (y % c->stride || x % c->stride) continue;
    of->dy[of->taps] = y / c->stride;
    of->dx[of->taps] = x / c->stride;
    of->slot[of->taps++] = k;
  }
}

long ck_stream_pixels(const struct ck_stream *s, long rows) {
  long segments = ck_min(rows, (rows - 1) / s->of.rows + 2);
  long lines = s->of.stride * rows + segments * (s->span - s->of.stride);
  if (s->span < s->of.stride) lines = s->of.stride * rows;
  return lines * s->pitch + 2 * s->pitch + 64 * s->of.stride;  // a last block may run past the last row
}

void ck_stream_init(struct ck_stream *s, const struct ck_correlation *of, long max_rows, long narrow) {
  long dy0 = 0, dy1 = 0, dx0 = 0, dx1 = 0;
  for (long k = 0; k < of->taps; k++) {
    dy0 = ck_min(dy0, of->dy[k]), dy1 = ck_max(dy1, of->dy[k]);
    dx0 = ck_min(dx0, of->dx[k]), dx1 = ck_max(dx1, of->dx[k]);
  }
  *s = (struct ck_stream){.of = *of, .first_dy = dy0, .span = dy1 - dy0 + 1, .pad_left = -dx0, .max_rows = max_rows};
  long last_column = (of->columns - 1) * of->stride + dx1 - dx0;
  s->pitch = ck_max(s->pad_left + of->in_w, last_column + 1 - s->pad_left);
  s->pitch = ck_ceil(s->pitch, of->stride) * of->stride;
  s->expanded = of->columns < narrow && of->taps > 1;
  s->max_pixels = ck_stream_pixels(s, max_rows);
  s->max_panel = ck_ceil(max_rows * of->columns, 32) * 32;
  s->max_blocks = max_rows * (of->columns / 16 + 2);
  for (long k = 0; k < of->taps; k++)
    s->tap_offset[k] = s->expanded ? k * s->max_panel : (of->dy[k] - dy0) * s->pitch + of->dx[k] - dx0;
}

void ck_stream_blocks(const struct ck_stream *s, long first_row, long last_row, long lanes, long align,
                      struct ck_blocks *blocks) {
  const struct ck_correlation *of = &s->of;
  blocks->count = 0;
  long covered = 0;  // positions before this one are in a block
  long base = 0;     // position of the segment's first pixel, in the stream
  for (long g = first_row; g < last_row; g++) {
    long n = g / of->rows, i = g % of->rows;
    long segment_first = ck_max(first_row, n * of->rows);
    long row = s->expanded ? (g - first_row) * of->columns : base + (g - segment_first) * s->pitch;
    for (long j = 0; j < of->columns; j++) {
      long position = row + j;
      if (position >= covered) {
        long start = position / align * align, b = blocks->count++;
        blocks->start[b] = (int32_t)start;
        for (long r = 0; r < lanes; r++) blocks->pixel[b * lanes + r] = -1;
        covered = start + lanes;
      }
      long b = blocks->count - 1;
      long y = i * of->out_stride + of->out_row, x = j * of->out_stride + of->out_column;
      blocks->pixel[b * lanes + position - blocks->start[b]] = (int32_t)((n * of->out_blocks * of->out_h + y) * of->out_w + x);
    }
    if (i == of->rows - 1) {
      long rows = g + 1 - segment_first;
      base += ((rows - 1) * of->stride + s->span) * s->pitch / of->stride;
    }
  }
}
