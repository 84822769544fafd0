/// Sizes and shares of work.
#pragma once

/// Whether ThreadSanitizer watches.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CK_THREAD_SANITIZER 1
#endif
#endif

/// Helpers must be inlined into the functions that are compiled for several instruction sets, or they would be compiled
/// for the default one.
#define CK_INLINE static inline __attribute__((always_inline))

/// ⌈n / d⌉.
CK_INLINE long ceil_div(long n, long d) { return (n + d - 1) / d; }
/// ⌈n / multiple⌉·multiple.
CK_INLINE long round_up(long n, long multiple) { return ceil_div(n, multiple) * multiple; }

CK_INLINE long min_long(long a, long b) { return a < b ? a : b; }
CK_INLINE long max_long(long a, long b) { return a > b ? a : b; }

/// The items first..<last of n that part `index` of `parts` equal ones holds.
typedef struct {
  long first, last;
} span;

CK_INLINE span share_of(long n, long index, long parts) {
  return (span){n * index / parts, n * (index + 1) / parts};
}

/// The same with boundaries at multiples of `grain`, so that threads do not write to one cache line.
CK_INLINE span share_in_grains(long n, long grain, long index, long parts) {
  span grains = share_of(ceil_div(n, grain), index, parts);
  return (span){min_long(grains.first * grain, n), min_long(grains.last * grain, n)};
}
