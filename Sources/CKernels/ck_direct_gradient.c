// dw (rows × outputs) = Xᵀ · dY: over all positions, the numbers that a row of X holds by the outputs of its position.
#include "ck_direct_pass.h"
#include "ck_gemm.h"

/// Positions whose rows of X and dY a thread packs at a time, and numbers of a row of X.
enum { POSITIONS = 256, NUMBERS = 256 };

/// Columns of dY, and of sums.
CK_INLINE long columns_of(const ck_direct *conv) { return round_up(conv->outputs, 16); }

/// What is read as one: of each of its taps 16 channels, or a plain source's one.
CK_INLINE long channels_of_unit(const lattice *l) { return fills_blocks(l->channels) ? 16 : 1; }
CK_INLINE long numbers_of_unit(const lattice *l) { return channels_of_unit(l) * taps_of(l); }
CK_INLINE long units_of(const lattice *l) { return l->channels / channels_of_unit(l); }
CK_INLINE long units_at_a_time(const lattice *l) { return max_long(1, NUMBERS / numbers_of_unit(l)); }

/// Threads share the numbers of a row, in as many equal parts as leave 64 of them, and for each part the positions; where sums are few, the
/// positions alone, which are then read once. Sums of a part's positions are added in their order.
typedef struct {
  long rows, positions;
} parts;

static parts parts_of(const lattice *l, long threads) {
  enum { FEW = 1 << 15, LEFT = 64 };
  long most = depth_of(l) * l->results <= FEW ? 1 : min_long(units_of(l), depth_of(l) / LEFT), by_rows = 1;
  for (long n = 2; n <= min_long(threads, most); n++)
    if (threads % n == 0) by_rows = n;
  return (parts){by_rows, threads / by_rows};
}

/// A thread's rows of X and of dY.
static long workspace_per_thread(const ck_direct *conv, const lattice *l) {
  return POSITIONS * (units_at_a_time(l) * numbers_of_unit(l) + columns_of(conv));
}

long ck_direct_backward_weights_workspace(const ck_direct *conv) {
  lattice l = forward_lattice(conv);
  long threads = ck_threads();
  return threads * workspace_per_thread(conv, &l) + parts_of(&l, threads).positions * depth_of(&l) * columns_of(conv);
}

typedef struct {
  const ck_direct *conv;
  lattice l;
  const float *x, *dy;
  float *dw, *sums, *workspace;
} gradient_job;

/// dY of the positions `those`, packed for ck_gemm.
CK_CLONES static void read_dy(const gradient_job *job, span those, float *packed) {
  const lattice *l = &job->l;
  long corners[POSITIONS], count = those.last - those.first, pixels = l->to_height * l->to_width;
  place at = place_of(l, those.first);
  for (long i = 0; i < count; i++, advance(l, &at)) corners[i] = corner_of(l, at);
  for (long column = 0; column < columns_of(job->conv); column += 16) {
    long panel = column / CK_PANEL, width = panel_width(panel, columns_of(job->conv));
    float *to = packed + panel_offset(panel, count) + column % CK_PANEL;
    for (long i = 0; i < count; i++, to += width) {
      const float *from = job->dy + corners[i] + column * pixels;
      if (fills_blocks(l->results))
        store16(to, load16(from));
      else
        for (long lane = 0; lane < 16; lane++) to[lane] = column + lane < l->results ? from[lane * pixels] : 0;
    }
  }
}

/// An image of so many pixels has its sums read once an image at less cost than a copy of what is added.
enum { PIXELS = 128 };

/// Sets sums to what the units `units` have of the positions `those`. dY of large images is read where it is, some positions of one at a time.
static void sum_positions(const gradient_job *job, span units, span those, float *sums, float *workspace) {
  const lattice *l = &job->l;
  long columns = columns_of(job->conv), unit = numbers_of_unit(l), some = units_at_a_time(l), lanes = channels_of_unit(l);
  long image = l->rows * l->columns, most = POSITIONS;
  int in_place = writes_in_place(l) && image >= PIXELS;
  if (in_place) most = ceil_div(image, ceil_div(image, POSITIONS));
  float *rows = workspace, *dy = rows + POSITIONS * some * unit;
  span now;
  for (now.first = those.first; now.first < those.last; now.first = now.last) {
    now.last = min_long(now.first + most, those.last);
    if (in_place) now.last = min_long(now.last, (now.first / image + 1) * image);
    long count = now.last - now.first;
    if (!in_place) read_dy(job, now, dy);
    for (long begin = units.first; begin < units.last; begin += some) {
      span of = {begin, min_long(begin + some, units.last)};
      long numbers = (of.last - of.first) * unit, row = lanes == 1 ? 1 : numbers, column = lanes == 1 ? count : 1;
      ck_float_operands.read(l, job->x, l->channels, (span){of.first * lanes, of.last * lanes}, now, rows, row, column);
      float *c = sums + begin * unit * columns;
      int accumulate = now.first > those.first;
      if (in_place)
        ck_gemm_of_blocks(&(ck_blocks_gemm){
          .m = numbers, .n = columns, .k = count, .a = rows, .a_row = column, .a_column = row,
          .b = job->dy + corner_of(l, place_of(l, now.first)), .b_block = 16 * image, .c = c, .c_row = columns,
          .c_block = 16, .accumulate = accumulate});
      else
        ck_gemm(numbers, columns, count, rows, column, row, dy, c, columns, accumulate);
    }
  }
}

/// Whether X and dY are both read where they are.
static int sums_in_place(const lattice *l) {
  enum { NEAR = 1 << 13 };  // sums that the first-level cache keeps
  return reads_in_place(l) && writes_in_place(l) &&
         (l->rows * l->columns >= PIXELS || l->channels * l->results <= NEAR);
}

/// The same where they are: 16 channels by two blocks of outputs at a time.
static void sum_in_place(const gradient_job *job, span blocks, span those, float *sums) {
  const lattice *l = &job->l;
  long columns = l->results, image = l->rows * l->columns;
  span now;
  for (now.first = those.first; now.first < those.last; now.first = now.last) {
    now.last = min_long(min_long(now.first + POSITIONS, those.last), (now.first / image + 1) * image);
    place at = place_of(l, now.first);
    const float *x = job->x + tap_offset(l, l->channels, at, 0, 0), *dy = job->dy + corner_of(l, at);
    for (long column = 0; column < columns; column += CK_PANEL)
      for (long block = blocks.first; block < blocks.last; block++)
        ck_gemm_of_blocks(&(ck_blocks_gemm){
          .m = 16, .n = min_long(CK_PANEL, columns - column), .k = now.last - now.first,
          .a = x + block * 16 * image, .a_row = 1, .a_column = 16, .b = dy + column * image, .b_block = 16 * image,
          .c = sums + block * 16 * columns + column, .c_row = columns, .c_block = 16,
          .accumulate = now.first > those.first});
  }
}

/// dw of the rows `rows`: the sums of all parts, as w is laid out.
CK_CLONES static void write_dw(const gradient_job *job, long parts, span rows) {
  const lattice *l = &job->l;
  long columns = columns_of(job->conv), depth = depth_of(l), taps = taps_of(l), outputs = job->conv->outputs;
  int blocked = fills_blocks(outputs) && fills_blocks(l->channels);
  for (long row = rows.first; row < rows.last; row++)
    for (long column = 0; column < columns; column += 16) {
      const float *from = job->sums + row * columns + column;
      v16 sum = load16(from);
      for (long part = 1; part < parts; part++) sum += load16(from + part * depth * columns);
      if (blocked) {
        store16(job->dw + column * depth + row * 16, sum);
        continue;
      }
      // A blocked source's rows are [channels/16][tap][16], w's OIhw.
      long of_row = fills_blocks(l->channels) ? (row / (16 * taps) * 16 + row % 16) * taps + row / 16 % taps : row;
      for (long lane = 0; lane < min_long(16, outputs - column); lane++) job->dw[(column + lane) * depth + of_row] = sum[lane];
    }
}

static void gradient_body(void *context, int thread, int threads) {
  const gradient_job *job = context;
  const lattice *l = &job->l;
  parts n = parts_of(l, threads);
  long part = thread / n.rows, columns = columns_of(job->conv), numbers = numbers_of_unit(l) * columns;
  span units = share_of(units_of(l), thread % n.rows, n.rows), those = share_of(positions_of(l), part, n.positions);
  float *sums = job->sums + part * depth_of(l) * columns;
  if (those.first == those.last)
    memset(sums + units.first * numbers, 0, (size_t)((units.last - units.first) * numbers) * sizeof *sums);
  else if (sums_in_place(l))
    sum_in_place(job, units, those, sums);
  else
    sum_positions(job, units, those, sums, job->workspace + thread * workspace_per_thread(job->conv, l));
  ck_barrier();
  write_dw(job, n.positions, share_of(depth_of(l), thread, threads));
}

void ck_direct_backward_weights(const ck_direct *conv, const float *x, const float *dy, float *dw, float *workspace) {
  gradient_job job = {conv, forward_lattice(conv), x, dy, dw, NULL, NULL};
  job.workspace = workspace;
  job.sums = workspace + ck_threads() * workspace_per_thread(conv, &job.l);
  ck_parallel(gradient_body, &job);
}
