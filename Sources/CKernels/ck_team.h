// Teams of threads that run one body together: what `ck_parallel` stands on, and all that it knows of a threading library.
#pragma once

typedef struct {
  // Runs `body(context)` on up to `threads` threads at once, the caller among them, and returns when all have returned.
  void (*run)(void (*body)(void *), void *context, unsigned threads);
  // Inside a body: waits until every thread of the team has come here.
  void (*barrier)(void);
  // Inside a body: this thread's number, from 0, and the size of the team.
  int (*number)(void);
  int (*size)(void);
  // The processors that its threads may be put on.
  int (*processors)(void);
  // For this calling thread, how many threads libraries that share the team may use.
  void (*share)(int threads);
} ck_team;

// libgomp's, where there is libgomp.
#if defined(__linux__)
extern const ck_team ck_gomp_team;
#endif

// Our own, of POSIX threads alone.
extern const ck_team ck_own_team;
