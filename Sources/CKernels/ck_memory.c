#include "CKernels.h"

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

void ck_return_freed_memory(void) {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}
