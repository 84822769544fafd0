// MPI's constants are macros with casts, or addresses, which Swift does not import: functions, then, of what is used.
#pragma once
#include <mpi.h>
#include <sched.h>
#include <unistd.h>

/// Messages are counted in int.
enum { DDPM_MPI_MOST = 1 << 30 };

/// Starts MPI with calls from one thread at a time; 0 where that is to be had.
static inline int ddpm_mpi_start(void) {
  int provided = 0;
  int code = MPI_Init_thread(0, 0, MPI_THREAD_SERIALIZED, &provided);
  if (code == MPI_SUCCESS && provided < MPI_THREAD_SERIALIZED) return MPI_ERR_OTHER;
  // An error is told to the caller, who says which rank it was.
  if (code == MPI_SUCCESS) MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  return code;
}

static inline int ddpm_mpi_rank(void) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

static inline int ddpm_mpi_count(void) {
  int count = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &count);
  return count;
}

static inline int ddpm_mpi_host(char *name, int room) {
  char full[MPI_MAX_PROCESSOR_NAME + 1];
  int length = 0, code = MPI_Get_processor_name(full, &length);
  if (code != MPI_SUCCESS) return code;
  int i = 0;
  for (; i < length && i < room - 1; i++) name[i] = full[i];
  name[i] = 0;
  return code;
}

static inline int ddpm_mpi_piece(long rest) {
  return rest > DDPM_MPI_MOST ? DDPM_MPI_MOST : (int)rest;
}

/// Waits as one who leaves the processor to others: MPI's own calls wait with it busy, which ranks that share a machine pay for.
static inline int ddpm_mpi_wait(int count, MPI_Request *requests) {
  for (long looks = 0;; looks++) {
    int done = 0, code = MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
    if (code != MPI_SUCCESS || done) return code;
    if (looks < 200) sched_yield();
    else usleep(50);
  }
}

/// Sends to `target` while it receives from `source`; of no bytes nobody is told.
static inline int ddpm_mpi_exchange(
  const void *sent, long sent_count, int target, void *received, long received_count, int source) {
  for (long out = 0, in = 0; out < sent_count || in < received_count;) {
    int outgoing = ddpm_mpi_piece(sent_count - out), incoming = ddpm_mpi_piece(received_count - in);
    MPI_Request requests[2];
    int count = 0, code = MPI_SUCCESS;
    if (incoming > 0)
      code = MPI_Irecv((char *)received + in, incoming, MPI_BYTE, source, 0, MPI_COMM_WORLD, &requests[count++]);
    if (code == MPI_SUCCESS && outgoing > 0)
      code = MPI_Isend((const char *)sent + out, outgoing, MPI_BYTE, target, 0, MPI_COMM_WORLD, &requests[count++]);
    if (code == MPI_SUCCESS) code = ddpm_mpi_wait(count, requests);
    if (code != MPI_SUCCESS) return code;
    out += outgoing;
    in += incoming;
  }
  return MPI_SUCCESS;
}

/// Every rank gives `count` bytes, and gets those of all.
static inline int ddpm_mpi_gather(const void *bytes, int count, void *all) {
  MPI_Request request;
  int code = MPI_Iallgather(bytes, count, MPI_BYTE, all, count, MPI_BYTE, MPI_COMM_WORLD, &request);
  return code == MPI_SUCCESS ? ddpm_mpi_wait(1, &request) : code;
}

/// Σ over the ranks, of which each gets its stretch of so many numbers.
static inline int ddpm_mpi_sum_scattered(const float *numbers, const int *counts, float *sum) {
  MPI_Request request;
  int code = MPI_Ireduce_scatter(numbers, sum, counts, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &request);
  return code == MPI_SUCCESS ? ddpm_mpi_wait(1, &request) : code;
}

/// What an error code means, cut to `room`.
static inline void ddpm_mpi_explain(int code, char *text, int room) {
  char full[MPI_MAX_ERROR_STRING + 1];
  int length = 0;
  if (MPI_Error_string(code, full, &length) != MPI_SUCCESS) length = 0;
  int i = 0;
  for (; i < length && i < room - 1; i++) text[i] = full[i];
  text[i] = 0;
}

static inline void ddpm_mpi_abort(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

static inline void ddpm_mpi_end(void) { MPI_Finalize(); }
