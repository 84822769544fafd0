// A convolution with few outputs as one product: Z[pixel][output, tap] = Σ over inputs of x·w, each pixel of x read once for all taps; then
// y sums nine numbers of Z, each of another pixel.
#include "CKernels.h"
#include "ck_gemm.h"

#pragma clang fp contract(fast)

enum { TAPS = 9 };

/// Columns of Z: outputs × taps, filled up to whole vectors.
CK_INLINE long columns_of(const ck_thin *conv) { return round_up(conv->outputs * TAPS, 16); }

/// Rows of an image are taken in bands: images as a whole, unless threads are more or Z would not stay in the second-level cache.
static long bands_of(const ck_thin *conv, long threads) {
  enum { KEPT = 1 << 17 };
  long row = (conv->width + 2) * columns_of(conv);
  return max_long(ceil_div(conv->height, max_long(1, KEPT / row - 2)), min_long(conv->height, ceil_div(threads, conv->samples)));
}

/// Z of a band has a border of one pixel around it.
static long workspace_per_thread(const ck_thin *conv, long threads) {
  return (ceil_div(conv->height, bands_of(conv, threads)) + 2) * (conv->width + 2) * columns_of(conv);
}

long ck_thin_weights(const ck_thin *conv) { return conv->inputs * columns_of(conv); }

long ck_thin_workspace(const ck_thin *conv) { return ck_threads() * workspace_per_thread(conv, ck_threads()); }

void ck_thin_pack(const ck_thin *conv, const float *w, float *packed) {
  long columns = columns_of(conv);
  memset(packed, 0, (size_t)ck_thin_weights(conv) * sizeof *packed);
  for (long output = 0; output < conv->outputs; output++)
    for (long input = 0; input < conv->inputs; input++)
      for (long tap = 0; tap < TAPS; tap++)
        packed[input * columns + output * TAPS + tap] = w[(output * conv->inputs + input) * TAPS + tap];
}

typedef struct {
  const ck_thin *conv;
  const float *x, *packed, *bias, *residual;
  float *y, *workspace;
  long bands, per_thread;
} thin_job;

/// Z of the rows first − 1 ... last of image n: zero where they lie outside.
static void products(const thin_job *job, long n, long first, long last, float *z) {
  const ck_thin *conv = job->conv;
  long columns = columns_of(conv), line = (conv->width + 2) * columns, pixels = conv->height * conv->width;
  for (long row = first - 1; row <= last; row++, z += line) {
    if (row < 0 || row >= conv->height) {
      memset(z, 0, (size_t)line * sizeof *z);
      continue;
    }
    memset(z, 0, (size_t)columns * sizeof *z);
    memset(z + line - columns, 0, (size_t)columns * sizeof *z);
    const float *x = job->x + (n * conv->inputs * pixels + row * conv->width * 16);
    for (long block = 0; block < conv->inputs / 16; block++)
      ck_gemm(
        conv->width, columns, 16, x + block * pixels * 16, 16, 1, job->packed + block * 16 * columns, z + columns, columns,
        block > 0);
  }
}

CK_CLONES static void sums(const thin_job *job, long n, long first, long last, const float *z) {
  const ck_thin *conv = job->conv;
  long width = conv->width, columns = columns_of(conv), line = (width + 2) * columns;
  for (long output = 0; output < conv->outputs; output++) {
    float bias = job->bias ? job->bias[output] : 0;
    for (long row = first; row < last; row++) {
      const float *from = z + (row - first) * line + output * TAPS;
      long at = ((n * conv->outputs + output) * conv->height + row) * width;
      for (long column = 0; column < width; column++, from += columns) {
        float sum = bias;
        for (int tap = 0; tap < TAPS; tap++) sum += from[tap / 3 * line + tap % 3 * columns + tap];
        job->y[at + column] = sum + (job->residual ? job->residual[at + column] : 0);
      }
    }
  }
}

static void thin_body(void *context, int thread, int threads) {
  const thin_job *job = context;
  float *z = job->workspace + thread * job->per_thread;
  span mine = share_of(job->conv->samples * job->bands, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    span rows = share_of(job->conv->height, item % job->bands, job->bands);
    products(job, item / job->bands, rows.first, rows.last, z);
    sums(job, item / job->bands, rows.first, rows.last, z);
  }
}

void ck_thin_forward(
  const ck_thin *conv, const float *x, const float *packed, const float *bias, const float *residual, float *y,
  float *workspace) {
  long threads = ck_threads();
  thin_job job = {
    conv, x, packed, bias, residual, y, workspace, bands_of(conv, threads), workspace_per_thread(conv, threads)};
  ck_parallel(thin_body, &job);
}
