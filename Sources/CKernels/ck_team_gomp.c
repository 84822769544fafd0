#include "ck_team.h"

#if defined(__linux__)

// libgomp's entry points, declared here because Swift's clang has no OpenMP.
extern void GOMP_parallel(void (*body)(void *), void *context, unsigned threads, unsigned flags);
extern void GOMP_barrier(void);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);
extern int omp_get_num_procs(void);
extern void omp_set_num_threads(int);

static void run(void (*body)(void *), void *context, unsigned threads) { GOMP_parallel(body, context, threads, 0); }

const ck_team ck_gomp_team = {run, GOMP_barrier, omp_get_thread_num, omp_get_num_threads, omp_get_num_procs, omp_set_num_threads};

#endif
