#include "CKernels.h"

#include <pthread.h>
#include <stdlib.h>

#include "ck_internal.h"
#include "ck_team.h"

// The team that this thread calls, or is of.
#if defined(__linux__)
static _Thread_local const ck_team *team = &ck_gomp_team;
#else
static _Thread_local const ck_team *team = &ck_own_team;
#endif

void ck_use_own_team(int own) {
#if defined(__linux__)
  team = own ? &ck_own_team : &ck_gomp_team;
#else
  (void)own;
#endif
}

// libgomp waits and wakes by means that ThreadSanitizer does not see: tell it who waits for whom. One object for all regions
// orders more than there is order, so a race between two regions at once would be missed.
#ifdef CK_THREAD_SANITIZER
extern void __tsan_acquire(void *object);
extern void __tsan_release(void *object);
static char order;
#define TELL_OTHERS() __tsan_release(&order)
#define HEAR_OTHERS() __tsan_acquire(&order)
#else
#define TELL_OTHERS() ((void)0)
#define HEAR_OTHERS() ((void)0)
#endif

// Each calling thread has its own, as libgomp has a pool for each.
static _Thread_local int wanted_threads = 1;

/// The size of the team that this thread works in; 0 outside any `ck_parallel`.
static _Thread_local int team_size = 0;

typedef struct {
  void (*body)(void *context, int thread, int threads);
  void *context;
  const ck_team *team;
} job;

void ck_set_threads(int threads) {
  wanted_threads = threads < 1 ? 1 : threads;
  team->share(wanted_threads);
}

int ck_threads(void) { return wanted_threads; }

int ck_processors(void) { return team->processors(); }

static void run_job(void *argument) {
  HEAR_OTHERS();
  const job *task = argument;
  const ck_team *before = team;
  team = task->team;
  int threads = team->size();
  team_size = threads;
  task->body(task->context, team->number(), threads);
  team_size = 0;
  team = before;
  TELL_OTHERS();
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
  job task = {body, context, team};
  TELL_OTHERS();
  team->run(run_job, &task, (unsigned)wanted_threads);
  HEAR_OTHERS();
}

typedef struct {
  long count;
  void (*body)(void *context, long item);
  void *context;
} item_job;

static void each_body(void *context, int thread, int threads) {
  const item_job *items = context;
  // One thread for libraries too, which share the team; and for the caller, who is of it, as before.
  int outer = wanted_threads;
  ck_set_threads(1);
  for (long item = thread; item < items->count; item += threads) items->body(items->context, item);
  ck_set_threads(outer);
}

void ck_each(long count, void (*body)(void *context, long item), void *context) {
  item_job items = {count, body, context};
  ck_parallel(each_body, &items);
}

void ck_barrier(void) {
  if (team_size <= 1) return;
  TELL_OTHERS();
  team->barrier();
  HEAR_OTHERS();
}

// The threads that ask for room must not touch the heap, where each would get an arena of its own.
static void *wait_for(void *lock) {
  pthread_mutex_lock(lock);
  pthread_mutex_unlock(lock);
  return NULL;
}

static void nothing(void *context, int thread, int threads) {}

int ck_start_threads(void) {
  int wanted = wanted_threads - 1, started = 0;
  pthread_t *others = malloc((size_t)wanted * sizeof *others);
  if (wanted > 0 && !others) return 0;
  pthread_mutex_t end = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&end);
  while (started < wanted && pthread_create(&others[started], NULL, wait_for, &end) == 0) started++;
  pthread_mutex_unlock(&end);
  for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
  pthread_mutex_destroy(&end);
  free(others);
  if (started < wanted) return 0;
  ck_parallel(nothing, NULL);
  return 1;
}
