#pragma once

/// Sets the number of threads of every kernel. Results are deterministic for a given number.
void ck_set_threads(int threads);

/// The number of threads kernels run with.
int ck_threads(void);

/// Calls `body(context, thread, threads)` once on each thread of the pool (libgomp's, the one oneDNN uses) and waits.
void ck_parallel(void (*body)(void *context, int thread, int threads), void *context);
