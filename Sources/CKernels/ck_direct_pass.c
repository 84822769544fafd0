#include "ck_direct_pass.h"

/// Results whose sums a thread holds at a time.
enum { GROUP = 64 };

/// A group of sums of some positions, and their rows, of all taps at most.
static size_t workspace_per_thread(const ck_operands *operands, const ck_direct *conv, int backward) {
  long depth = conv->kernel_height * conv->kernel_width * (backward ? conv->outputs : conv->inputs);
  return (size_t)round_up(CK_POSITIONS * (GROUP * (long)sizeof(float) + depth * operands->bytes), 64);
}

size_t ck_direct_pass_workspace(const ck_operands *operands, const ck_direct *conv, int backward) {
  return (size_t)ck_threads() * workspace_per_thread(operands, conv, backward);
}

static void read_rows(const ck_direct_pass *pass, const lattice *l, span those, char *rows, long row, long column) {
  const ck_operands *operands = pass->operands;
  const ck_parts *x = &pass->x;
  long first = x->rest ? x->first : l->channels, rest = l->channels - first;
  operands->read(l, x->x, first, (span){0, first}, those, rows, row, column);
  if (!x->rest) return;
  operands->read(l, x->rest, rest, (span){0, rest}, those, rows + first * taps_of(l) * operands->bytes, row, column);
}

/// Results `of` of the target at the positions `those`, from rows of GROUP sums.
CK_CLONES static void write_rows(
  const ck_direct_pass *pass, const lattice *l, span those, span of, const float *sums, int streams) {
  long corners[CK_POSITIONS], count = those.last - those.first, pixels = l->to_height * l->to_width;
  place at = place_of(l, those.first);
  for (long i = 0; i < count; i++, advance(l, &at)) corners[i] = corner_of(l, at);
  if (fills_blocks(l->results)) {
    for (long result = of.first; result < of.last; result += 16) {
      v16 bias = pass->bias ? load16(pass->bias + result) : (v16){0};
      for (long i = 0; i < count; i++) {
        long to = corners[i] + result * pixels;
        v16 value = load16(sums + i * GROUP + result - of.first) + bias;
        if (pass->residual) value += load16(pass->residual + to);
        put(pass->y + to, &value, streams);
      }
    }
    return;
  }
  for (long result = of.first; result < of.last; result++) {
    float bias = pass->bias ? pass->bias[result] : 0;
    for (long i = 0; i < count; i++) {
      long to = corners[i] + result * pixels;
      pass->y[to] = sums[i * GROUP + result - of.first] + bias + (pass->residual ? pass->residual[to] : 0);
    }
  }
}

/// The product of what is read where it is, in as many parts as the source has.
static void multiply_in_place(const ck_direct_pass *pass, const lattice *l, place at, ck_blocks_gemm gemm) {
  const ck_parts *x = &pass->x;
  long first = x->rest ? x->first : l->channels, rest = l->channels - first;
  int streams = gemm.streams;
  gemm.a = x->x + tap_offset(l, first, at, 0, 0), gemm.k = first;
  gemm.a_row = 16, gemm.a_column = 1, gemm.a_block = l->rows * l->columns * 16;
  gemm.streams = streams && !x->rest;
  pass->operands->multiply(&gemm);
  if (!x->rest) return;
  gemm.a = x->rest + tap_offset(l, rest, at, 0, 0), gemm.k = rest, gemm.b = (const float *)gemm.b + first * 16;
  gemm.continues = 1, gemm.bias = gemm.residual = NULL, gemm.streams = streams;
  pass->operands->multiply(&gemm);
}

static void run_lattice(
  const ck_direct_pass *pass, const lattice *l, const char *weights, int streams, int thread, int threads) {
  const ck_operands *operands = pass->operands;
  char *workspace = (char *)pass->workspace + (size_t)thread * workspace_per_thread(operands, pass->conv, pass->backward);
  float *sums = (float *)workspace;
  char *rows = (char *)(sums + CK_POSITIONS * GROUP);
  long depth = depth_of(l), words = depth * operands->bytes / (long)sizeof(float), image = l->rows * l->columns;
  // In place only within an image, but then all of one that is little more than what is taken at a time.
  int reads = pass->operands->are_floats && reads_in_place(l), writes = writes_in_place(l);
  long most = reads && writes && image <= 4 * CK_POSITIONS / 3 ? image : CK_POSITIONS;
  span mine = share_in_grains(positions_of(l), 4, thread, threads), those;
  for (those.first = mine.first; those.first < mine.last; those.first = those.last) {
    those.last = min_long(those.first + most, mine.last);
    if (reads || writes) those.last = min_long(those.last, (those.first / image + 1) * image);
    place at = place_of(l, those.first);
    ck_blocks_gemm gemm = {.m = those.last - those.first, .k = words, .a = rows, .b = weights, .b_block = 16 * words};
    if (!reads && fills_blocks(l->channels)) {
      gemm.a_row = words, gemm.a_column = 1;
      read_rows(pass, l, those, rows, depth, 1);
    } else if (!reads) {
      gemm.a_row = 1, gemm.a_column = CK_POSITIONS;
      read_rows(pass, l, those, rows, 1, CK_POSITIONS);
    }
    for (long begin = 0, some = writes ? l->results : GROUP; begin < l->results; begin += some) {
      span of = {begin, min_long(begin + some, l->results)};
      gemm.n = round_up(of.last - of.first, 16), gemm.b = weights + begin * depth * operands->bytes;
      if (writes) {
        long corner = corner_of(l, at);
        gemm.c = pass->y + corner, gemm.c_row = 16, gemm.c_block = image * 16;
        gemm.bias = pass->bias, gemm.residual = pass->residual ? pass->residual + corner : NULL, gemm.streams = streams;
      } else {
        gemm.c = sums, gemm.c_row = GROUP, gemm.c_block = 16;
      }
      if (depth == 0)
        memset(sums, 0, CK_POSITIONS * GROUP * sizeof *sums);
      else if (reads)
        multiply_in_place(pass, l, at, gemm);
      else
        operands->multiply(&gemm);
      if (!writes) write_rows(pass, l, those, of, sums, streams);
    }
  }
}

static void pass_body(void *context, int thread, int threads) {
  const ck_direct_pass *pass = context;
  const ck_direct *conv = pass->conv;
  int streaming;
  if (!pass->backward) {
    lattice l = forward_lattice(conv);
    streaming = fills_blocks(l.results) && streams(pass->y, positions_of(&l) * l.results);
    run_lattice(pass, &l, pass->weights, streaming, thread, threads);
  } else {
    const char *weights = pass->weights;
    streaming = fills_blocks(conv->inputs) && streams(pass->y, conv->samples * conv->inputs * conv->height * conv->width);
    for (long row = 0; row < conv->stride; row++)
      for (long column = 0; column < conv->stride; column++) {
        lattice l = backward_lattice(conv, row, column);
        run_lattice(pass, &l, weights, streaming, thread, threads);
        weights += round_up(l.results, 16) * depth_of(&l) * pass->operands->bytes;
      }
  }
  if (streaming) end_of_stream();
}

void ck_run_direct_pass(const ck_direct_pass *pass) { ck_parallel(pass_body, (void *)pass); }
