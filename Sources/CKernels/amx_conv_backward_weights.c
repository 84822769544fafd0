// dw[tap][i][o] = Σ_position u[pixel(position, tap)][i] · dy[position][o], as tile products that sum over positions:
// A = dy with 16 output channels as rows, B = u with 16 input channels as columns, C = dw transposed.
//
// Each part (a thread's, as a rule) owns a range of position rows (image part) and of input channels (channel part).
// Unit by unit it lays dy out as A tiles, then for each pair of 16-channel input blocks lays out u and adds to its
// sums; at the end the image parts' sums are added in order.
#include "amx_stream.h"

enum { UNIT_BYTES = 5 << 18 };

struct gradient {
  struct ck_stream stream;
  struct ck_conv conv;
  long image_parts, channel_parts;
  long thread_bytes;
  float *dw, *dbias;
  const float *x, *dy;
  const struct ck_conv_prologue *prologue;
  char *scratch;
};

struct work {
  char *a;        // [Co/16][blocks][hi, lo][16 o][32 positions]
  char *b;        // [2][hi, lo][panels][max_panel / 2][16 i][2 positions]
  char *row;      // [pitch][16 i as split lanes]: the row of pixels being laid out, with its borders
  float *sums;    // [input pairs][output pairs][taps][2 o][2 i][16 o][16 i]
  float *bias;    // [Co]
  int32_t *a_step, *b_step;
  struct ck_blocks blocks;  // of 32 positions
};

static long in_pairs(const struct gradient *job) { return ceil_div(job->conv.Ci, 32); }
static long out_pairs(const struct gradient *job) { return ceil_div(job->conv.Co, 32); }

/// Bytes of one plane (hi or lo) of u, 16 channels.
static long plane_bytes(const struct gradient *job) { return job->stream.panels * job->stream.max_panel * 32; }

static long lay_out(const struct gradient *job, char *base, struct work *work) {
  const struct ck_stream *s = &job->stream;
  const long blocks = s->max_blocks + 1, pairs = ceil_div(in_pairs(job), job->channel_parts);
  char *cursor = base;
  work->a = ck_take(&cursor, job->conv.Co / 16 * blocks * 2048);
  work->b = ck_take(&cursor, 4 * plane_bytes(job));
  work->row = ck_take(&cursor, (s->pitch + s->pad_left) * 64);
  work->sums = ck_take(&cursor, pairs * out_pairs(job) * s->of.taps * 4096);
  work->bias = ck_take(&cursor, job->conv.Co * sizeof(float));
  work->a_step = ck_take(&cursor, blocks * sizeof(int32_t));
  work->b_step = ck_take(&cursor, blocks * sizeof(int32_t));
  work->blocks.start = ck_take(&cursor, blocks * sizeof(int32_t));
  work->blocks.pixel = ck_take(&cursor, blocks * 32 * sizeof(int32_t));
  return cursor - base;
}

/// Rough cycles of the slowest thread where images are split in `parts`, input channels in threads / parts.
static double cost(const struct gradient *job, const struct ck_correlation *of, long threads, long parts) {
  double positions = (double)ceil_div(of->N * of->rows, parts) * of->columns;
  double products = ceil_div(in_pairs(job), threads / parts) * out_pairs(job) * of->taps;
  double weights = (double)job->conv.Ci * job->conv.Co * of->taps;
  return products * positions / 32 * 192 + positions * job->conv.Co / 16 * 8 + (parts > 1 ? weights * 1.5 : 0);
}

static void plan(const struct ck_conv *conv, struct gradient *job) {
  struct ck_correlation of;
  ck_correlation_forward(conv, &of);
  *job = (struct gradient){.conv = *conv, .image_parts = 1, .channel_parts = ck_threads()};
  const long threads = ck_threads();
  for (long parts = 2; parts <= threads; parts++)
    if (threads % parts == 0 && cost(job, &of, threads, parts) < cost(job, &of, threads, job->image_parts)) {
      job->image_parts = parts;
      job->channel_parts = threads / parts;
    }
  ck_stream_init(&job->stream, &of, 1, 1);
  long row_bytes = job->stream.panel_pitch * (job->stream.panels * 128 + conv->Co * 4);
  long fitting = max_long(1, UNIT_BYTES / row_bytes), part = ceil_div(of.N * of.rows, job->image_parts);
  ck_stream_init(&job->stream, &of, ceil_div(part, ceil_div(part, fitting)), 1);
  struct work work;
  job->thread_bytes = lay_out(job, NULL, &work);
}

size_t ck_amx_conv_backward_weights_scratch(const struct ck_conv *conv) {
  struct gradient job;
  plan(conv, &job);
  return (size_t)(job.thread_bytes * job.image_parts * job.channel_parts) + 64;
}

#if defined(__x86_64__)
#include "amx_prologue.h"

/// A tiles of dy for one block of 16 output channels, and its sum over positions added to bias[16].
CK_AMX static void fill_a(const struct gradient *job, const struct work *work, long out_block) {
  const struct ck_blocks *blocks = &work->blocks;
  const float *dy = job->dy + out_block * job->stream.of.out_h * job->stream.of.out_w * 16;
  char *to = work->a + out_block * blocks->count * 2048;
  __m512 sum = _mm512_setzero_ps();
  for (long b = 0; b < blocks->count; b++, to += 2048) {
    const int32_t *pixel = blocks->pixel + b * 32;
    __m512i x0[16], x1[16];
    for (int r = 0; r < 16; r++) {
      __m512 first = _mm512_setzero_ps(), second = first;
      if (pixel[r] >= 0) first = _mm512_loadu_ps(dy + pixel[r] * 16L);
      if (pixel[16 + r] >= 0) second = _mm512_loadu_ps(dy + pixel[16 + r] * 16L);
      sum = _mm512_add_ps(sum, _mm512_add_ps(first, second));
      x0[r] = _mm512_castps_si512(first), x1[r] = _mm512_castps_si512(second);
    }
    ck_transpose16(x0);
    ck_transpose16(x1);
    for (int r = 0; r < 16; r++) {
      __m512i hi, lo;
      ck_split32(_mm512_castsi512_ps(x0[r]), _mm512_castsi512_ps(x1[r]), &hi, &lo);
      _mm512_store_si512(to + r * 64, hi);
      if (!job->conv.rounds) _mm512_store_si512(to + CK_TILE + r * 64, lo);
    }
  }
  float *bias = work->bias + out_block * 16;
  _mm512_storeu_ps(bias, _mm512_add_ps(_mm512_loadu_ps(bias), sum));
}

/// Panel rows from one row of pixels: consecutive positions in pairs, without borders.
CK_AMX_INLINE void fill_panel_row(const struct gradient *job, const char *row, char *to, long plane) {
  const long next = job->stream.of.stride * 64, columns = job->stream.of.columns;
  for (long j = 0; j < columns; j += 2, row += 2 * next, to += 64) {
    __m512i even = _mm512_load_si512(row), odd = _mm512_setzero_si512(), hi, lo;
    if (j + 1 < columns) odd = _mm512_load_si512(row + next);
    ck_pair(even, odd, &hi, &lo);
    _mm512_store_si512(to, hi);
    if (!job->conv.rounds) _mm512_store_si512(to + plane, lo);
  }
}

/// B tiles of u for position rows [first_row, last_row) and one block of 16 input channels.
CK_AMX static void fill_b(const struct gradient *job, const struct work *work, long in_block, long first_row,
                          long last_row, char *panels) {
  const struct ck_stream *s = &job->stream;
  const struct ck_correlation *of = &s->of;
  const long plane = plane_bytes(job), row_bytes = s->panel_pitch * 32;
  char *pixels = work->row + s->pad_left * 64;
  long base = 0;  // panel row where the segment of an image begins
  for (long g = first_row; g < last_row;) {
    const long n = g / of->rows, i = g % of->rows, rows = min_long(of->rows - i, last_row - g);
    const long first = i * of->stride + s->first_dy, panel_rows = rows - 1 + s->panel_span;
    const struct ck_prologue16 prologue = ck_prologue_at(job->prologue, n, job->conv.Ci, in_block * 16);
    const float *x = job->x + (n * (job->conv.Ci / 16) + in_block) * of->in_h * of->in_w * 16;
    for (long line = 0; line < panel_rows * of->stride; line++) {
      const long y = first + line, phase = line % of->stride;
      const int inside = y >= 0 && y < of->in_h;
      if (inside)
        for (long j = 0; j < of->in_w; j++) {
          __m512 u = ck_prologue_apply(prologue, _mm512_loadu_ps(x + (y * of->in_w + j) * 16));
          _mm512_store_si512(pixels + j * 64, ck_split16(u));
        }
      for (long k = 0; k < s->panels; k++) {
        if (s->panel_phase[k] != phase) continue;
        char *to = panels + k * s->max_panel * 32 + (base + line / of->stride) * row_bytes;
        if (inside) {
          fill_panel_row(job, pixels + s->panel_dx[k] * 64, to, plane);
        } else {
          memset(to, 0, row_bytes);
          if (!job->conv.rounds) memset(to + plane, 0, row_bytes);
        }
      }
    }
    base += panel_rows;
    g += rows;
  }
  // A last block may look beyond: what it multiplies by zero must be finite.
  for (long k = 0; k < s->panels; k++) {
    char *end = panels + k * s->max_panel * 32 + base * row_bytes;
    memset(end, 0, CK_TILE);
    if (!job->conv.rounds) memset(end + plane, 0, CK_TILE);
  }
}

/// Adds the products of input pair `pair` with every output channel to sums: [output pairs][taps][2][2][16][16].
CK_AMX static void multiply(const struct gradient *job, const struct work *work, long pair, int accumulate,
                            float *sums) {
  const struct ck_stream *s = &job->stream;
  const long plane = plane_bytes(job), a_bytes = work->blocks.count * 2048;
  const int columns = pair * 32 + 16 < job->conv.Ci ? 2 : 1;
  for (long o = 0; o < out_pairs(job); o++) {
    const int rows = o * 32 + 16 < job->conv.Co ? 2 : 1;
    for (long k = 0; k < s->of.taps; k++, sums += 1024) {
      struct ck_product product = {.a_step = work->a_step, .b_step = work->b_step, .a_lo = CK_TILE, .b_lo = plane,
                                   .a_pitch = 64, .steps = work->blocks.count, .rounds = job->conv.rounds};
      for (int i = 0; i < 2; i++) {
        product.a[i] = work->a + (o * 2 + i) * a_bytes;
        product.b[i] = work->b + i * 2 * plane + s->tap_offset[k] * 32;
      }
      ck_multiply(&product, rows, columns, accumulate, sums);
    }
  }
}

struct part {
  span rows, pairs;  // rows of positions, pairs of 16-channel input blocks
  struct work work;
};

static struct part part_of(const struct gradient *job, long image_part, long channel_part) {
  struct part part;
  part.rows = share_of(job->stream.of.N * job->stream.of.rows, image_part, job->image_parts);
  part.pairs = share_of(in_pairs(job), channel_part, job->channel_parts);
  long thread = image_part * job->channel_parts + channel_part;
  lay_out(job, job->scratch + thread * job->thread_bytes, &part.work);
  return part;
}

CK_AMX static void sum_part(const struct gradient *job, long index) {
  const struct ck_stream *s = &job->stream;
  struct part part = part_of(job, index / job->channel_parts, index % job->channel_parts);
  struct work *work = &part.work;
  const long rows = part.rows.last - part.rows.first, units = ceil_div(rows, s->max_rows);
  const long pair_sums = out_pairs(job) * s->of.taps * 1024;
  memset(work->bias, 0, job->conv.Co * sizeof(float));
  memset(work->row, 0, (s->pitch + s->pad_left) * 64);  // its borders stay as they are
  if (rows == 0) memset(work->sums, 0, (part.pairs.last - part.pairs.first) * pair_sums * sizeof(float));
  for (long unit = 0; unit < units; unit++) {
    const span share = share_of(rows, unit, units);
    const long from = part.rows.first + share.first, to = part.rows.first + share.last;
    ck_stream_blocks(s, from, to, 32, 2, &work->blocks);
    for (long b = 0; b < work->blocks.count; b++) {
      work->a_step[b] = (int32_t)(b * 2048);
      work->b_step[b] = work->blocks.start[b] * 32;
    }
    for (long o = 0; o < job->conv.Co / 16; o++) fill_a(job, work, o);
    for (long pair = part.pairs.first; pair < part.pairs.last; pair++) {
      for (long half = 0; half < 2 && pair * 2 + half < job->conv.Ci / 16; half++)
        fill_b(job, work, pair * 2 + half, from, to, work->b + half * 2 * plane_bytes(job));
      multiply(job, work, pair, unit > 0, work->sums + (pair - part.pairs.first) * pair_sums);
    }
  }
}

CK_AMX static void sum_body(void *context, int thread, int threads) {
  const struct gradient *job = context;
  ck_tiles_begin();
  for (long part = thread; part < job->image_parts * job->channel_parts; part += threads) sum_part(job, part);
  _tile_release();
}

/// dw = Σ_part sums, transposed to [16 i][16 o].
CK_AMX static void reduce_part(const struct gradient *job, long index) {
  const long taps = job->stream.of.taps, in16 = job->conv.Ci / 16, out16 = job->conv.Co / 16;
  const long image_part = index / job->channel_parts, channel_part = index % job->channel_parts;
  const span mine = share_of(out_pairs(job) * taps, image_part, job->image_parts);
  const struct part own = part_of(job, 0, channel_part);
  for (long pair = own.pairs.first; pair < own.pairs.last; pair++) {
    for (long item = mine.first; item < mine.last; item++) {
      for (long tile = 0; tile < 4; tile++) {
        const long o = item / taps * 2 + tile / 2, i = pair * 2 + tile % 2, k = item % taps;
        if (o >= out16 || i >= in16) continue;
        const long offset = (((pair - own.pairs.first) * out_pairs(job) * taps + item) * 4 + tile) * 256;
        __m512i row[16];
        for (int r = 0; r < 16; r++) {
          __m512 sum = _mm512_setzero_ps();
          for (long p = 0; p < job->image_parts; p++) {
            const float *sums = part_of(job, p, channel_part).work.sums;
            sum = _mm512_add_ps(sum, _mm512_load_ps(sums + offset + r * 16));
          }
          row[r] = _mm512_castps_si512(sum);
        }
        ck_transpose16(row);
        for (int r = 0; r < 16; r++) _mm512_storeu_si512(job->dw + ((o * in16 + i) * taps + k) * 256 + r * 16, row[r]);
      }
    }
  }
  if (!job->dbias || index) return;
  for (long o = 0; o < job->conv.Co; o++) {
    float sum = 0;
    for (long p = 0; p < job->image_parts; p++) sum += part_of(job, p, 0).work.bias[o];
    job->dbias[o] = sum;
  }
}

static void reduce_body(void *context, int thread, int threads) {
  const struct gradient *job = context;
  for (long part = thread; part < job->image_parts * job->channel_parts; part += threads) reduce_part(job, part);
}

void ck_amx_conv_backward_weights(const struct ck_conv *conv, float *dw, float *dbias, const float *x,
                                  const struct ck_conv_prologue *prologue, const float *dy, void *scratch) {
  struct gradient job;
  plan(conv, &job);
  job.dw = dw, job.dbias = dbias, job.x = x, job.prologue = prologue, job.dy = dy;
  job.scratch = ck_aligned(scratch);
  ck_parallel(sum_body, &job);
  ck_parallel(reduce_body, &job);
}
#else
void ck_amx_conv_backward_weights(const struct ck_conv *conv, float *dw, float *dbias, const float *x,
                                  const struct ck_conv_prologue *prologue, const float *dy, void *scratch) {
  (void)conv, (void)dw, (void)dbias, (void)x, (void)prologue, (void)dy, (void)scratch;
}
#endif
