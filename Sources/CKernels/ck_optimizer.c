#include "CKernels.h"
#include "ck_internal.h"

#pragma clang fp contract(fast)

typedef struct {
  float *p, *m, *v, *ema;
  const float *g;
  long n;
  float gradient_scale, coupled_decay, keep, beta1, beta2, rest1, rest2, step_size, inverse_root2, epsilon, ema_rest;
} job;

/// One element, or sixteen: T is float or v16, `root` its square root.
#define UPDATE(T, root)                             \
  T gradient = g * job->gradient_scale + p * job->coupled_decay; \
  m = m * job->beta1 + gradient * job->rest1;       \
  v = v * job->beta2 + gradient * gradient * job->rest2; \
  p = p * job->keep - m * job->step_size / (root(v) * job->inverse_root2 + job->epsilon);

CK_CLONES static void adam_range(const job *job, long first, long last) {
  long i = first;
  for (; i + 16 <= last; i += 16) {
    v16 p = load16(job->p + i), g = load16(job->g + i), m = load16(job->m + i), v = load16(job->v + i);
    UPDATE(v16, __builtin_elementwise_sqrt)
    store16(job->p + i, p);
    store16(job->m + i, m);
    store16(job->v + i, v);
    if (job->ema) {
      v16 ema = load16(job->ema + i);
      store16(job->ema + i, ema + (p - ema) * job->ema_rest);
    }
  }
  for (; i < last; i++) {
    float p = job->p[i], g = job->g[i], m = job->m[i], v = job->v[i];
    UPDATE(float, sqrtf)
    job->p[i] = p;
    job->m[i] = m;
    job->v[i] = v;
    if (job->ema) job->ema[i] += (p - job->ema[i]) * job->ema_rest;
  }
}

static void adam_body(void *context, int thread, int threads) {
  const job *job = context;
  span mine = share_in_grains(job->n, 64, thread, threads);
  adam_range(job, mine.first, mine.last);
}

void ck_adam_step(const ck_adam *adam, float *p, const float *g, float *m, float *v, float *ema, long n) {
  double correction1 = adam->bias_correction1, correction2 = adam->bias_correction2;
  job job = {
    .p = p, .m = m, .v = v, .ema = ema, .g = g, .n = n,
    .gradient_scale = (float)adam->gradient_scale,
    .coupled_decay = adam->decoupled ? 0 : (float)adam->weight_decay,
    .keep = adam->decoupled ? (float)(1 - adam->learning_rate * adam->weight_decay) : 1,
    .beta1 = (float)adam->beta1, .rest1 = (float)(1 - adam->beta1),
    .beta2 = (float)adam->beta2, .rest2 = (float)(1 - adam->beta2),
    .step_size = (float)(adam->learning_rate / correction1),
    .inverse_root2 = (float)(1 / sqrt(correction2)),
    .epsilon = (float)adam->epsilon,
    .ema_rest = (float)(1 - adam->ema_decay),
  };
  ck_parallel_over(n, adam_body, &job);
}
