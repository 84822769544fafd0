/// One pool of threads: libgomp's, or our own where there is no libgomp.
#pragma once

/// Whether this thread uses our own threads where libgomp's could be used: for tests. Not to be called inside `ck_parallel`.
void ck_use_own_team(int own);

/// Sets how many threads the kernels use when called from this thread; below 1 means 1. Not to be called inside `ck_parallel`.
void ck_set_threads(int threads);

/// The number of threads that the next `ck_parallel` gives its body.
int ck_threads(void);

/// The processors that the pool's threads may be put on. Where `OMP_PROC_BIND` or the like is set, the thread that asks may be bound to one of them.
int ck_processors(void);

/// Starts the threads of the next `ck_parallel` now. 0 where the system refuses them: libgomp itself would end the process.
int ck_start_threads(void);

/// Runs `body(context, thread, threads)` once on each thread, `thread` in 0..<threads, and returns when all have
/// returned.
/// Inside another `ck_parallel`, or with one thread, it calls `body(context, 0, 1)` directly.
void ck_parallel(void (*body)(void *context, int thread, int threads), void *context);

/// The same for work on `elements` numbers: where that is little, waking the others would cost more than they save, and
/// the calling thread does it all. For bodies whose result does not depend on how the work is divided.
void ck_parallel_over(long elements, void (*body)(void *context, int thread, int threads), void *context);

/// Runs `body(context, item)` for each of the items 0..<count: several at once, each on one thread, for which `ck_threads()` is 1.
void ck_each(long count, void (*body)(void *context, long item), void *context);

/// Waits, inside a body, until every thread of the innermost `ck_parallel` has come here.
void ck_barrier(void);
