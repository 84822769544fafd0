// Forward convolution, and backward data, as tile products.
//
// Each part (a thread's, as a rule) owns a range of position rows and of output channels. Unit by unit it splits the
// input its rows need into scratch that stays in the L2 cache, then for every pair of 16-channel output blocks streams
// the packed weights past 32 positions at a time.
#include "amx_correlate.h"

enum { STREAM_BYTES = 3 << 18 };  // of a unit: with the weights of a pair, less than an L2 cache

static long in_blocks32(const struct ck_correlate *job) { return ceil_div(job->in_channels, 32); }
static long out_pairs(const struct ck_correlate *job) { return ceil_div(job->out_channels, 32); }

/// Pixels in one plane (hi or lo) of one block of 32 channels that tiles are loaded from.
static long plane_pixels(const struct ck_stream *s) { return s->panels ? s->panels * s->max_panel : s->max_pixels; }

struct work {
  char *planes;  // [in blocks][hi, lo][plane pixels][32]
  char *line;    // with panels: [hi, lo][stream pixels][32], of the block being expanded
  int32_t *a_step, *b_step, *b_step_narrow;  // [in blocks][taps]
  struct ck_blocks blocks;
};

/// Lays out a thread's scratch; returns its size.
static long lay_out(const struct ck_correlate *job, char *base, struct work *work) {
  const struct ck_stream *s = &job->stream;
  char *cursor = base;
  long steps = in_blocks32(job) * s->of.taps;
  work->planes = ck_take(&cursor, in_blocks32(job) * 2 * plane_pixels(s) * 64);
  work->line = ck_take(&cursor, s->panels ? 2 * s->max_pixels * 64 : 0);
  work->a_step = ck_take(&cursor, steps * sizeof(int32_t));
  work->b_step = ck_take(&cursor, steps * sizeof(int32_t));
  work->b_step_narrow = ck_take(&cursor, steps * sizeof(int32_t));
  work->blocks.start = ck_take(&cursor, (s->max_blocks + 1) * sizeof(int32_t));
  work->blocks.pixel = ck_take(&cursor, (s->max_blocks + 1) * 16 * sizeof(int32_t));
  return cursor - base;
}

void ck_correlate_init(struct ck_correlate *job, const struct ck_correlation *of, long in_channels, long out_channels,
                       long slots) {
  *job = (struct ck_correlate){.in_channels = in_channels, .out_channels = out_channels, .slots = slots};
  // The division into parts whose slowest thread multiplies fewest tiles.
  long threads = ck_threads(), rows = of->N * of->rows, best = -1;
  for (long parts = threads; parts >= 1; parts--) {
    if (threads % parts) continue;
    long tiles = ceil_div(ceil_div(rows, parts) * of->columns, 32) * ceil_div(out_pairs(job), threads / parts);
    if (best >= 0 && tiles >= best) continue;
    best = tiles;
    job->image_parts = parts;
    job->channel_parts = threads / parts;
  }
  const int expanded = ck_stream_narrow(of);
  ck_stream_init(&job->stream, of, 1, expanded);
  long row_pixels = expanded ? job->stream.panels * job->stream.panel_pitch : job->stream.pitch * of->stride;
  long fitting = max_long(1, STREAM_BYTES / (in_blocks32(job) * 128 * row_pixels));
  long part = ceil_div(rows, job->image_parts);
  ck_stream_init(&job->stream, of, ceil_div(part, ceil_div(part, fitting)), expanded);
  struct work work;
  job->thread_bytes = lay_out(job, NULL, &work);
}

size_t ck_correlate_scratch(const struct ck_correlate *job) {
  return (size_t)(job->thread_bytes * job->image_parts * job->channel_parts) + 64;
}

#if defined(__x86_64__)
#include "amx_prologue.h"

CK_AMX_INLINE void zero_pixels(char *hi, char *lo, long pixels) {
  memset(hi, 0, pixels * 64);
  if (lo) memset(lo, 0, pixels * 64);
}

/// Splits one image row of 32 channels, or rounds it where lo is null: x0, x1: [pixels][16] (x1 null where channels end).
CK_AMX_INLINE void split_row(const float *x0, const float *x1, struct ck_prologue16 p0, struct ck_prologue16 p1,
                             long pixels, char *hi, char *lo) {
  for (long j = 0; j < pixels; j++) {
    __m512 u0 = ck_prologue_apply(p0, _mm512_loadu_ps(x0 + j * 16));
    __m512 u1 = x1 ? ck_prologue_apply(p1, _mm512_loadu_ps(x1 + j * 16)) : _mm512_setzero_ps();
    __m512i h, l;
    ck_split32(u0, u1, &h, &l);
    _mm512_store_si512(hi + j * 64, h);
    if (lo) _mm512_store_si512(lo + j * 64, l);
  }
}

/// The stream of position rows [first_row, last_row) for channels 32·block …: hi, lo: [stream pixels][32].
CK_AMX static void fill_stream(const struct ck_correlate *job, long block, long first_row, long last_row, char *hi,
                               char *lo) {
  const struct ck_stream *s = &job->stream;
  const struct ck_correlation *of = &s->of;
  const long channels = job->in_channels, image = of->in_h * of->in_w * 16, line = s->pitch * 64;
  const long line_lo = lo ? line : 0;
  const int half = block * 32 + 16 >= channels;
  for (long g = first_row; g < last_row;) {
    long n = g / of->rows, i = g % of->rows, count = min_long(of->rows - i, last_row - g);
    struct ck_prologue16 p0 = ck_prologue_at(job->prologue, n, channels, block * 32), p1 = p0;
    if (!half) p1 = ck_prologue_at(job->prologue, n, channels, block * 32 + 16);
    const float *x0 = job->x + (n * (channels / 16) + block * 2) * image, *x1 = half ? NULL : x0 + image;
    long first = i * of->stride + s->first_dy, lines = (count - 1) * of->stride + s->span;
    for (long y = first; y < first + lines; y++, hi += line, lo += line_lo) {
      if (y < 0 || y >= of->in_h) {
        zero_pixels(hi, lo, s->pitch);
        continue;
      }
      zero_pixels(hi, lo, s->pad_left);
      const float *row0 = x0 + y * of->in_w * 16, *row1 = half ? NULL : x1 + y * of->in_w * 16;
      split_row(row0, row1, p0, p1, of->in_w, hi + s->pad_left * 64, lo ? lo + s->pad_left * 64 : NULL);
      long right = s->pad_left + of->in_w;
      zero_pixels(hi + right * 64, lo ? lo + right * 64 : NULL, s->pitch - right);
    }
    g += count;
  }
  zero_pixels(hi, lo, s->pad_left + 1);  // right border of the last row
}

/// Copies stream lines to panels, without borders: line: [stream pixels][32], panel: [panels][max_panel][32].
CK_AMX static void expand(const struct ck_stream *s, const char *line, long first_row, long last_row, char *panel) {
  const struct ck_correlation *of = &s->of;
  for (long k = 0; k < s->panels; k++, panel += s->max_panel * 64) {
    const char *segment = line + (s->panel_phase[k] * s->pitch + s->panel_dx[k] + s->pad_left) * 64;
    char *to = panel;
    for (long g = first_row; g < last_row;) {
      long rows = min_long(of->rows - g % of->rows, last_row - g);
      for (long i = 0; i < rows - 1 + s->panel_span; i++, to += s->panel_pitch * 64)
        for (long j = 0; j < of->columns; j++)
          _mm512_store_si512(to + j * 64, _mm512_load_si512(segment + (i * s->pitch + j) * of->stride * 64));
      segment += ((rows - 1) * of->stride + s->span) * s->pitch * 64;
      g += rows;
    }
  }
}

CK_AMX static void fill(const struct ck_correlate *job, const struct work *work, long first_row, long last_row) {
  const struct ck_stream *s = &job->stream;
  const long plane = plane_pixels(s) * 64;
  for (long block = 0; block < in_blocks32(job); block++) {
    char *hi = work->planes + block * 2 * plane, *lo = job->rounds ? NULL : hi + plane;
    if (!s->panels) {
      fill_stream(job, block, first_row, last_row, hi, lo);
    } else {
      char *line_lo = lo ? work->line + s->max_pixels * 64 : NULL;
      fill_stream(job, block, first_row, last_row, work->line, line_lo);
      expand(s, work->line, first_row, last_row, hi);
      if (lo) expand(s, line_lo, first_row, last_row, lo);
    }
  }
}

/// y = c + bias + add for 16 positions and one block of 16 channels.
CK_AMX_INLINE void finish(const struct ck_correlate *job, const int32_t *pixel, long out_block, const float *c) {
  const long offset = out_block * job->stream.of.out_h * job->stream.of.out_w;
  __m512 bias = job->bias ? _mm512_loadu_ps(job->bias + out_block * 16) : _mm512_setzero_ps();
  for (int r = 0; r < 16; r++) {
    if (pixel[r] < 0) continue;
    long at = (pixel[r] + offset) * 16;
    __m512 y = _mm512_add_ps(_mm512_load_ps(c + r * 16), bias);
    if (job->add) y = _mm512_add_ps(y, _mm512_loadu_ps(job->add + at));
    _mm512_storeu_ps(job->y + at, y);
  }
}

CK_AMX static void multiply(const struct ck_correlate *job, const struct work *work, long first_pair, long last_pair) {
  const struct ck_stream *s = &job->stream;
  const struct ck_blocks *blocks = &work->blocks;
  const long steps = in_blocks32(job) * s->of.taps, pair_bytes = in_blocks32(job) * job->slots * 4 * CK_TILE;
  const long position_bytes = s->panels ? 64 : 64 * s->of.stride;
  float c[1024] __attribute__((aligned(64)));
  for (long pair = first_pair; pair < last_pair; pair++) {
    const int columns = pair * 32 + 16 < job->out_channels ? 2 : 1;
    struct ck_product product = {.a_step = work->a_step, .b_step = columns == 2 ? work->b_step : work->b_step_narrow,
                                 .a_lo = plane_pixels(s) * 64, .b_lo = columns * CK_TILE,
                                 .a_pitch = position_bytes, .steps = steps, .rounds = job->rounds};
    product.b[0] = job->packed + pair * pair_bytes;
    product.b[1] = product.b[0] + CK_TILE;
    for (long b = 0; b < blocks->count; b += 2) {
      const int rows = b + 1 < blocks->count ? 2 : 1;
      for (int i = 0; i < rows; i++) product.a[i] = work->planes + blocks->start[b + i] * position_bytes;
      // A last single block is multiplied as a pair: then every position sums in one order, wherever batch and threads put it.
      if (rows == 1) product.a[1] = product.a[0];
      ck_multiply(&product, 2, columns, 0, c);
      for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
          finish(job, blocks->pixel + (b + i) * 16, pair * 2 + j, c + (i * 2 + j) * 256);
    }
  }
}

CK_AMX static void run_part(const struct ck_correlate *job, long part) {
  const struct ck_stream *s = &job->stream;
  struct work work;
  lay_out(job, job->scratch + part * job->thread_bytes, &work);
  for (long block = 0; block < in_blocks32(job); block++)
    for (long k = 0; k < s->of.taps; k++) {
      long step = block * s->of.taps + k, slot = block * job->slots + s->of.slot[k];
      work.a_step[step] = (int32_t)((block * 2 * plane_pixels(s) + s->tap_offset[k]) * 64);
      work.b_step[step] = (int32_t)(slot * 4 * CK_TILE);
      work.b_step_narrow[step] = (int32_t)(slot * 2 * CK_TILE);
    }
  const span rows = share_of(s->of.N * s->of.rows, part / job->channel_parts, job->image_parts);
  const span pairs = share_of(out_pairs(job), part % job->channel_parts, job->channel_parts);
  if (rows.first == rows.last || pairs.first == pairs.last) return;
  const long units = ceil_div(rows.last - rows.first, s->max_rows);
  for (long unit = 0; unit < units; unit++) {
    const span share = share_of(rows.last - rows.first, unit, units);
    const long from = rows.first + share.first, to = rows.first + share.last;
    fill(job, &work, from, to);
    ck_stream_blocks(s, from, to, 16, 1, &work.blocks);
    multiply(job, &work, pairs.first, pairs.last);
  }
}

CK_AMX static void body(void *context, int thread, int threads) {
  const struct ck_correlate *job = context;
  ck_tiles_begin();
  for (long part = thread; part < job->image_parts * job->channel_parts; part += threads) run_part(job, part);
  _tile_release();
}

void ck_correlate_run(struct ck_correlate *job) {
  job->scratch = ck_aligned(job->scratch);
  ck_parallel(body, job);
}
#else
void ck_correlate_run(struct ck_correlate *job) { (void)job; }
#endif
