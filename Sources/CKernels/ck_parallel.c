#include "CKernels.h"

#include "ck_internal.h"

// libgomp's entry points, declared here because Swift's clang has no OpenMP.
extern void GOMP_parallel(void (*body)(void *), void *context, unsigned threads, unsigned flags);
extern void GOMP_barrier(void);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);

// Each calling thread has its own, as libgomp has a pool for each.
static _Thread_local int wanted_threads = 1;

/// The size of the team that this thread works in; 0 outside any `ck_parallel`.
static _Thread_local int team_size = 0;

typedef struct {
  void (*body)(void *context, int thread, int threads);
  void *context;
} job;

void ck_set_threads(int threads) { wanted_threads = threads < 1 ? 1 : threads; }

int ck_threads(void) { return wanted_threads; }

static void run_job(void *argument) {
  const job *task = argument;
  int threads = omp_get_num_threads();
  team_size = threads;
  task->body(task->context, omp_get_thread_num(), threads);
  team_size = 0;
}

typedef void parallel_body(void *context, int thread, int threads);

static void run_alone(parallel_body *body, void *context) {
  int outer = team_size;
  team_size = 1;
  body(context, 0, 1);
  team_size = outer;
}

void ck_parallel_over(long elements, parallel_body *body, void *context) {
  // A few microseconds' work: what starting a region costs.
  enum { LITTLE = 1 << 14 };
  if (elements <= LITTLE) return run_alone(body, context);
  ck_parallel(body, context);
}

void ck_parallel(parallel_body *body, void *context) {
  if (team_size != 0 || wanted_threads == 1) return run_alone(body, context);
  job task = {body, context};
  GOMP_parallel(run_job, &task, (unsigned)wanted_threads, 0);
}

void ck_barrier(void) {
  if (team_size > 1) GOMP_barrier();
}
