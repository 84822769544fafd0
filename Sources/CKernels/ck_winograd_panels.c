// Winograd's F(4×4, 3×3) with weights that are transformed where they are used, one panel of outputs and one row of points at a time.
//
// Transformed they are four times as many numbers. Where those do not stay in a cache, reading them takes longer than computing them anew
// for every block of tiles, and keeping them takes four times the memory of the weights.
#include "ck_winograd_panels.h"

#include "ck_gemm.h"

// MARK: how the work is divided

/// Tiles of a block: M and six points of U stay in the second-level cache, and U is used often enough.
enum { BLOCK = 128 };
/// Tiles from which a thread takes blocks of its own, with all panels; below, threads share blocks and take panels.
enum { OWN = 32 };

/// Rounds of some blocks of tiles. In each all threads transform the input, and then share its items: a block and a panel of outputs each.
typedef struct {
  long tiles, panels;
  long depth;                         ///< numbers of a row of V
  long blocks, round;                 ///< in all, and at a time
  long v_stride, m_stride, u_stride;  ///< from one point to the next
  long v, own, turned;  ///< floats of V of one block, of what each thread has, and of its turned weights
} panel_plan;

static panel_plan plan_of(
  const winograd_arithmetic *arithmetic, const ck_winograd *conv, long inputs, long outputs, int backward) {
  panel_plan plan = {
    .tiles = tiles_of(conv).all, .panels = ceil_div(outputs, CK_PANEL), .depth = inputs / arithmetic->inputs};
  long threads = ck_threads();
  plan.blocks = ceil_div(plan.tiles, BLOCK);
  if (plan.tiles >= threads * OWN) {
    plan.blocks = round_up(plan.blocks, threads);
    plan.round = threads;
  } else {
    // With more threads than panels, blocks enough that each has an item.
    plan.blocks = plan.round = max_long(plan.blocks, min_long(ceil_div(threads, plan.panels), plan.tiles));
  }
  long block = ceil_div(plan.tiles, plan.blocks);
  plan.v_stride = point_stride(block, plan.depth);
  plan.m_stride = point_stride(block, CK_PANEL);
  plan.u_stride = point_stride(plan.depth, CK_PANEL);
  plan.v = POINTS * plan.v_stride;
  plan.turned = backward ? inputs * 9 * CK_PANEL : 0;
  plan.own = POINTS * plan.m_stride + 6 * plan.u_stride + plan.turned;
  return plan;
}

long winograd_panels_workspace(
  const winograd_arithmetic *arithmetic, const ck_winograd *conv, long inputs, long outputs, int backward) {
  panel_plan plan = plan_of(arithmetic, conv, inputs, outputs, backward);
  return plan.round * plan.v + ck_threads() * plan.own;
}

CK_INLINE span block_of(const panel_plan *plan, long index) { return share_of(plan->tiles, index, plan->blocks); }

// MARK: weights

/// The weights of block `block` of the inputs' gradient, [inputs/16][tap][16 i][16 o] as those of the forward pass are.
CK_CLONES static void turn_weights(const winograd_job *job, long block, float *turned) {
  long blocks = job->outputs / 16;
  for (long input = 0; input < job->inputs / 16; input++) {
    const float *taps = job->weights + (input * blocks + block) * 9 * 256;
    for (int tap = 0; tap < 9; tap++) {
      // No processor foresees where the next inputs' are.
      for (int line = 0; line < 16; line++) __builtin_prefetch(taps + (2 * blocks * 9 + tap) * 256 + line * 16);
      transpose16(taps + tap * 256, 16, turned + (input * 9 + 8 - tap) * 256, 16);
    }
  }
}

// MARK: forward, backward data

typedef struct {
  const winograd_arithmetic *arithmetic;
  const winograd_job *job;
  panel_plan plan;
} panel_job;

/// One panel of the outputs of the tiles of a block, whose V is `v`.
static void run_item(const panel_job *panels, span tiles, long panel, const float *v, float *own) {
  const winograd_job *job = panels->job;
  const winograd_arithmetic *arithmetic = panels->arithmetic;
  const panel_plan *plan = &panels->plan;
  long count = tiles.last - tiles.first, width = panel_width(panel, job->outputs), column = job->inputs * 9 * 16;
  span blocks = {panel * CK_PANEL / 16, (panel * CK_PANEL + width) / 16};
  float *turned = own, *m = turned + plan->turned, *u = m + POINTS * plan->m_stride;
  const float *w = job->weights + blocks.first * column;
  if (job->backward) {
    for (long half = 0; half < width / 16; half++) turn_weights(job, blocks.first + half, turned + half * column);
    w = turned;
  }
  if (arithmetic->sum_few && count <= arithmetic->few) {
    for (long half = 0; half < width / 16; half++)
      arithmetic->sum_few(
        count, w + half * column, v, m + half * 16, job->inputs, plan->v_stride, plan->m_stride, width);
  } else {
    for (int row = 0; row < 6; row++) {
      arithmetic->transform_points(row, w, job->inputs, width, u, plan->u_stride);
      for (int j = 0; j < 6; j++)
        arithmetic->multiply(
          count, width, plan->depth, v + (row * 6 + j) * plan->v_stride, u + j * plan->u_stride,
          m + (row * 6 + j) * plan->m_stride);
    }
  }
  transform_output(job, tiles.first, tiles.last, blocks, m, plan->m_stride);
}

/// This thread's share of V of the blocks first..<last.
static void transform_blocks(const panel_job *panels, long first, long last, float *v, int thread, int threads) {
  const winograd_job *job = panels->job;
  const panel_plan *plan = &panels->plan;
  long channels = job->inputs / 16, start = block_of(plan, first).first;
  span mine = share_of((block_of(plan, last - 1).last - start) * channels, thread, threads);
  for (long block = first; block < last; block++, v += plan->v) {
    span tiles = block_of(plan, block);
    for (long tile = tiles.first; tile < tiles.last; tile++) {
      long before = (tile - start) * channels;
      span those = {max_long(mine.first - before, 0), min_long(mine.last - before, channels)};
      if (those.first >= those.last) continue;
      panels->arithmetic->transform_input(
        job, tile, tile + 1, those, v + (tile - tiles.first) * plan->depth, plan->v_stride);
    }
  }
}

static void panel_body(void *context, int thread, int threads) {
  const panel_job *panels = context;
  const panel_plan *plan = &panels->plan;
  float *v = panels->job->workspace, *own = v + plan->round * plan->v + thread * plan->own;
  for (long first = 0; first < plan->blocks; first += plan->round) {
    long last = min_long(first + plan->round, plan->blocks);
    if (first > 0) ck_barrier();
    transform_blocks(panels, first, last, v, thread, threads);
    ck_barrier();
    span items = share_of((last - first) * plan->panels, thread, threads);
    for (long item = items.first; item < items.last; item++) {
      long block = item / plan->panels;
      run_item(panels, block_of(plan, first + block), item % plan->panels, v + block * plan->v, own);
    }
  }
  if (panels->job->streams) end_of_stream();
}

void winograd_panels(const winograd_arithmetic *arithmetic, const winograd_job *job) {
  panel_job panels = {
    arithmetic, job, plan_of(arithmetic, job->conv, job->inputs, job->outputs, job->backward)};
  ck_parallel(panel_body, &panels);
}
