#pragma once
#include <archive.h>
#include <archive_entry.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* An archive's thousands of small files leave the allocator with as much unused memory: gives it back to the system. */
static inline void return_unused_memory(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}
