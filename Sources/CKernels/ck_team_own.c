// A team of POSIX threads: one pool for each thread that calls, which lives as long as that thread.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "ck_team.h"

typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t begin, end, together;
  pthread_t *threads;
  int started;        // threads of the pool, besides the caller
  int size;           // of the team that runs now
  long regions;       // begun so far: a sleeping thread wakes when it changes
  int left;           // threads that have not ended this region
  int arrived;        // at the barrier
  long barriers;      // passed so far
  int closes;
  void (*body)(void *);
  void *context;
} pool;

typedef struct {
  pool *pool;
  int number;
} place;

static _Thread_local pool *own;
static _Thread_local int own_number;

static void *work(void *argument) {
  place at = *(place *)argument;
  free(argument);
  pool *p = own = at.pool;
  own_number = at.number;
  long seen = 0;
  pthread_mutex_lock(&p->lock);
  for (;;) {
    while (p->regions == seen && !p->closes) pthread_cond_wait(&p->begin, &p->lock);
    if (p->closes) break;
    seen = p->regions;
    if (at.number >= p->size) continue;
    pthread_mutex_unlock(&p->lock);
    p->body(p->context);
    pthread_mutex_lock(&p->lock);
    if (--p->left == 0) pthread_cond_signal(&p->end);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

// Starts threads until the pool has `wanted`; it may get fewer.
static void grow(pool *p, int wanted) {
  if (p->started >= wanted) return;
  pthread_t *threads = realloc(p->threads, (size_t)wanted * sizeof *threads);
  if (!threads) return;
  p->threads = threads;
  while (p->started < wanted) {
    place *at = malloc(sizeof *at);
    if (!at) return;
    *at = (place){p, p->started + 1};
    if (pthread_create(&threads[p->started], NULL, work, at) != 0) {
      free(at);
      return;
    }
    p->started++;
  }
}

static void close_pool(void *argument) {
  pool *p = argument;
  pthread_mutex_lock(&p->lock);
  p->closes = 1;
  pthread_cond_broadcast(&p->begin);
  pthread_mutex_unlock(&p->lock);
  for (int i = 0; i < p->started; i++) pthread_join(p->threads[i], NULL);
  pthread_mutex_destroy(&p->lock);
  pthread_cond_destroy(&p->begin);
  pthread_cond_destroy(&p->end);
  pthread_cond_destroy(&p->together);
  free(p->threads);
  free(p);
}

static pthread_key_t key;
static void make_key(void) { pthread_key_create(&key, close_pool); }

static pool *make_pool(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_key);
  pool *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->begin, NULL);
  pthread_cond_init(&p->end, NULL);
  pthread_cond_init(&p->together, NULL);
  // Closed when the calling thread ends.
  if (pthread_setspecific(key, p) != 0) {
    close_pool(p);
    return NULL;
  }
  return p;
}

static void run(void (*body)(void *), void *context, unsigned threads) {
  if (!own) own = make_pool();
  pool *p = own;
  if (!p) return body(context);
  pthread_mutex_lock(&p->lock);
  grow(p, (int)threads - 1);
  p->size = p->started + 1 < (int)threads ? p->started + 1 : (int)threads;
  p->left = p->size - 1;
  p->arrived = 0;
  p->body = body;
  p->context = context;
  p->regions++;
  pthread_cond_broadcast(&p->begin);
  pthread_mutex_unlock(&p->lock);
  body(context);
  pthread_mutex_lock(&p->lock);
  while (p->left > 0) pthread_cond_wait(&p->end, &p->lock);
  pthread_mutex_unlock(&p->lock);
}

static void barrier(void) {
  pool *p = own;
  if (!p) return;
  pthread_mutex_lock(&p->lock);
  long before = p->barriers;
  if (++p->arrived == p->size) {
    p->arrived = 0;
    p->barriers++;
    pthread_cond_broadcast(&p->together);
  } else {
    while (p->barriers == before) pthread_cond_wait(&p->together, &p->lock);
  }
  pthread_mutex_unlock(&p->lock);
}

static int number(void) { return own_number; }
static int size(void) { return own ? own->size : 1; }
static int processors(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }
static void share(int threads) { (void)threads; }

const ck_team ck_own_team = {run, barrier, number, size, processors, share};
