#include "ck_parallel.h"

// libgomp's entry points, declared here so that no compiler support for OpenMP is needed.
extern void GOMP_parallel(void (*body)(void *), void *context, unsigned threads, unsigned flags);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);

static int thread_count = 1;

void ck_set_threads(int threads) { thread_count = threads < 1 ? 1 : threads; }

int ck_threads(void) { return thread_count; }

struct region {
  void (*body)(void *context, int thread, int threads);
  void *context;
};

static void enter(void *argument) {
  struct region *region = argument;
  region->body(region->context, omp_get_thread_num(), omp_get_num_threads());
}

void ck_parallel(void (*body)(void *context, int thread, int threads), void *context) {
  if (thread_count == 1) {
    body(context, 0, 1);
    return;
  }
  struct region region = {body, context};
  GOMP_parallel(enter, &region, (unsigned)thread_count, 0);
}
