// Winograd's F(4×4, 3×3) with weights that are transformed where they are used, one panel of outputs and one row of points at a time.
//
// Transformed they are four times as many numbers. Where those do not stay in a cache, reading them takes longer than computing them anew
// for every block of tiles, and keeping them takes four times the memory of the weights.
#include "ck_winograd_panels.h"

#include "ck_gemm.h"

// MARK: how the work is divided

/// Tiles of a block: M and six points of U stay in the second-level cache, V in the third, and U is used often enough, which takes longer to
/// make of weights that are turned.
enum { BLOCK = 64, BLOCK_OF_TURNED = 128 };
/// Tiles from which a thread takes blocks of its own, with all panels; below, threads share blocks and take panels.
enum { OWN = 32 };

/// Blocks of tiles, each for one thread; or, where tiles are few, for all threads, which transform the input together and then share items:
/// a block and a panel of outputs each.
typedef struct {
  long tiles, panels;
  long depth;                         ///< numbers of a row of V
  long blocks;
  int shared;
  long v_stride, m_stride, u_stride;  ///< from one point to the next
  long v, own, turned;  ///< floats of V of one block, of what each thread has, and of its turned weights
} panel_plan;

static panel_plan plan_of(
  const winograd_arithmetic *arithmetic, const ck_winograd *conv, long inputs, long outputs, int backward) {
  panel_plan plan = {
    .tiles = tiles_of(conv).all, .panels = ceil_div(outputs, CK_PANEL), .depth = inputs / arithmetic->inputs};
  long threads = ck_threads();
  plan.blocks = ceil_div(plan.tiles, backward ? BLOCK_OF_TURNED : BLOCK);
  plan.shared = plan.tiles < threads * OWN;
  // Shared, where threads are more than panels, blocks enough that each has an item.
  plan.blocks = plan.shared ? max_long(plan.blocks, min_long(ceil_div(threads, plan.panels), plan.tiles))
                            : round_up(plan.blocks, threads);
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
  return (plan.shared ? plan.blocks : ck_threads()) * plan.v + ck_threads() * plan.own;
}

CK_INLINE span block_of(const panel_plan *plan, long index) { return share_of(plan->tiles, index, plan->blocks); }

// MARK: weights

/// The weights of block `block` of the inputs' gradient, [inputs/16][tap][16 i][16 o] as those of the forward pass are.
CK_CLONES static void turn_weights(const winograd_job *job, long block, float *turned) {
  long blocks = job->outputs / 16;
  for (long input = 0; input < job->inputs / 16; input++) {
    const float *taps = (const float *)job->weights + (input * blocks + block) * 9 * 256;
    // No processor foresees where the next inputs' are.
    for (int line = 0; line < 9 * 16; line++) __builtin_prefetch(taps + 2 * blocks * 9 * 256 + line * 16);
    turn_taps(taps, turned + input * 9 * 256);
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
  long half_panel = column * arithmetic->weight_bytes;  // of 16 outputs
  const char *w = (const char *)job->weights + blocks.first * half_panel;
  if (job->backward) {
    for (long half = 0; half < width / 16; half++) turn_weights(job, blocks.first + half, turned + half * column);
    w = (const char *)turned;
  }
  if (arithmetic->sum_few && count <= arithmetic->few) {
    for (long half = 0; half < width / 16; half++)
      arithmetic->sum_few(
        count, w + half * half_panel, v, m + half * 16, job->inputs, plan->v_stride, plan->m_stride, width);
  } else {
    // Each product fetches a 36th of the next panel's weights, which follow unless they are turned.
    const char *next = w + width / 16 * half_panel;
    long share = width / 16 * half_panel / POINTS;
    for (int point = 0; point < POINTS; point++) {
      if (point % 6 == 0) arithmetic->transform_points(point / 6, w, job->inputs, width, u, plan->u_stride);
      arithmetic->multiply(
        count, width, plan->depth, v + point * plan->v_stride, u + point % 6 * plan->u_stride,
        m + point * plan->m_stride, (const float *)(next + point * share),
        share / plan->depth / (long)sizeof(float));
    }
  }
  transform_output(job, tiles.first, tiles.last, blocks, m, plan->m_stride);
}

/// This thread's share of V of all blocks.
static void transform_together(const panel_job *panels, float *v, int thread, int threads) {
  const panel_plan *plan = &panels->plan;
  long channels = panels->job->inputs / 16;
  span mine = share_of(plan->tiles * channels, thread, threads);
  for (long block = 0; block < plan->blocks; block++, v += plan->v) {
    span tiles = block_of(plan, block);
    for (long tile = tiles.first; tile < tiles.last; tile++) {
      span those = {max_long(mine.first - tile * channels, 0), min_long(mine.last - tile * channels, channels)};
      if (those.first < those.last)
        panels->arithmetic->transform_input(
          panels->job, tile, tile + 1, those, v + (tile - tiles.first) * plan->depth, plan->v_stride);
    }
  }
}

static void panel_body(void *context, int thread, int threads) {
  const panel_job *panels = context;
  const winograd_job *job = panels->job;
  const panel_plan *plan = &panels->plan;
  float *own = job->workspace + thread * plan->own, *v = job->workspace + threads * plan->own;
  if (plan->shared) {
    transform_together(panels, v, thread, threads);
    ck_barrier();
    span items = share_of(plan->blocks * plan->panels, thread, threads);
    for (long item = items.first; item < items.last; item++) {
      long block = item / plan->panels;
      run_item(panels, block_of(plan, block), item % plan->panels, v + block * plan->v, own);
    }
  } else {
    v += thread * plan->v;
    span blocks = share_of(plan->blocks, thread, threads);
    for (long block = blocks.first; block < blocks.last; block++) {
      span tiles = block_of(plan, block);
      panels->arithmetic->transform_input(
        job, tiles.first, tiles.last, (span){0, job->inputs / 16}, v, plan->v_stride);
      for (long panel = 0; panel < plan->panels; panel++) run_item(panels, tiles, panel, v, own);
    }
  }
  if (job->streams) end_of_stream();
}

void winograd_panels(const winograd_arithmetic *arithmetic, const winograd_job *job) {
  panel_job panels = {
    arithmetic, job, plan_of(arithmetic, job->conv, job->inputs, job->outputs, job->backward)};
  ck_parallel(panel_body, &panels);
}
