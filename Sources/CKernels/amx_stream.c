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
  of->rows = ceil_div(c->H - row, c->stride);
  of->columns = ceil_div(c->W - column, c->stride);
  for (long k = 0; k < c->K * c->K; k++) {
    long y = row + c->pad_low - k / c->K, x = column + c->pad_low - k % c->K;
    if (y % c->stride || x % c->stride) continue;
    of->dy[of->taps] = y / c->stride;
    of->dx[of->taps] = x / c->stride;
    of->slot[of->taps++] = k;
  }
}

int ck_stream_narrow(const struct ck_correlation *of) {
  if (of->taps <= 1) return 0;  // none: a 1×1 kernel with stride 2 leaves some pixels out
  struct ck_stream s;
  ck_stream_init(&s, of, 1, 0);
  long dense = ceil_div(of->rows * of->columns, 16), bordered = ceil_div((of->rows - 1) * s.pitch + of->columns, 16);
  if (of->columns % 16 == 0) bordered = dense;
  return bordered * 100 > dense * 108;
}

/// Pixels of a unit of `rows` rows whose segments have `span - 1` rows more, and slack for a last block.
static long unit_pixels(const struct ck_correlation *of, long rows, long stride, long span, long pitch) {
  long segments = min_long(rows, (rows - 1) / of->rows + 2);
  long lines = stride * rows + segments * max_long(0, span - stride);
  return (lines + 2) * pitch + 64 * stride;
}

void ck_stream_init(struct ck_stream *s, const struct ck_correlation *of, long max_rows, int expanded) {
  const long stride = of->stride;
  long dy0 = 0, dy1 = 0, dx0 = 0, dx1 = 0;
  for (long k = 0; k < of->taps; k++) {
    dy0 = min_long(dy0, of->dy[k]), dy1 = max_long(dy1, of->dy[k]);
    dx0 = min_long(dx0, of->dx[k]), dx1 = max_long(dx1, of->dx[k]);
  }
  *s = (struct ck_stream){.of = *of, .first_dy = dy0, .span = dy1 - dy0 + 1, .pad_left = -dx0, .max_rows = max_rows};
  long last_column = (of->columns - 1) * stride + dx1 - dx0;
  s->pitch = max_long(s->pad_left + of->in_w, last_column + 1 - s->pad_left);
  s->pitch = ceil_div(s->pitch, stride) * stride;
  s->max_pixels = unit_pixels(of, max_rows, stride, s->span, s->pitch);
  s->max_blocks = max_rows * (of->columns / 16 + 2);
  // Even, so that pairs of positions never straddle rows.
  s->panel_pitch = ceil_div(of->columns, 2) * 2;
  s->panel_span = (s->span - 1) / stride + 1;
  s->max_panel = unit_pixels(of, max_rows, 1, s->panel_span, s->panel_pitch);
  // A panel's size is no multiple of 4 KB, so that the tiles of different panels do not evict one another.
  s->max_panel = ceil_div(s->max_panel, 64) * 64 + 36;
  s->max_pixels = ceil_div(s->max_pixels, 64) * 64 + 36;
  for (long k = 0; k < of->taps; k++) {
    long row = of->dy[k] - dy0, phase = row % stride, panel = 0;
    if (!expanded) {
      s->tap_offset[k] = row * s->pitch + of->dx[k] - dx0;
      continue;
    }
    while (panel < s->panels && (s->panel_dx[panel] != of->dx[k] || s->panel_phase[panel] != phase)) panel++;
    if (panel == s->panels) {
      s->panel_dx[panel] = of->dx[k], s->panel_phase[panel] = phase;
      s->panels++;
    }
    s->tap_offset[k] = panel * s->max_panel + row / stride * s->panel_pitch;
  }
}

void ck_stream_blocks(const struct ck_stream *s, long first_row, long last_row, long lanes, long align,
                      struct ck_blocks *blocks) {
  const struct ck_correlation *of = &s->of;
  const long pitch = s->panels ? s->panel_pitch : s->pitch;  // positions from row to row
  long covered = 0;                                          // positions before this one are in a block
  long base = 0;                                             // position of the segment's first pixel
  blocks->count = 0;
  for (long g = first_row; g < last_row;) {
    const long n = g / of->rows, i0 = g % of->rows, rows = min_long(of->rows - i0, last_row - g);
    for (long i = 0; i < rows; i++) {
      const long y = (i0 + i) * of->out_stride + of->out_row;
      const long first_pixel = (n * of->out_blocks * of->out_h + y) * of->out_w + of->out_column;
      for (long j = 0; j < of->columns;) {
        const long position = base + i * pitch + j;
        if (position >= covered) {
          long start = position / align * align, b = blocks->count++;
          blocks->start[b] = (int32_t)start;
          for (long r = 0; r < lanes; r++) blocks->pixel[b * lanes + r] = -1;
          covered = start + lanes;
        }
        const long run = min_long(covered - position, of->columns - j);
        int32_t *pixel = blocks->pixel + blocks->count * lanes - (covered - position);
        for (long r = 0; r < run; r++) pixel[r] = (int32_t)(first_pixel + (j + r) * of->out_stride);
        j += run;
      }
    }
    if (s->panels) {
      base += (rows - 1 + s->panel_span) * pitch;
    } else {
      base += ((rows - 1) * of->stride + s->span) * pitch / of->stride;
    }
    g += rows;
  }
}
