/// Counter-based random numbers: Philox4×32-10 (Salmon et al. 2011).
///
/// Element j of sample n is lane j % 4 of philox(counter: (j / 4, sample_index[n], step, stream), key: (seed low, seed
/// high)), so a sample's noise depends neither on the batch that holds it nor on the number of threads.
#pragma once
#include <stdint.h>

typedef struct {
  uint64_t seed;
  uint32_t step, stream;
} ck_random;

/// One block, for tests: out[4] = philox(counter, key).
void ck_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/// out [samples][elements]: standard normal, by Box–Muller of lanes (0, 1) and (2, 3).
void ck_random_normal(const ck_random *random, const uint32_t *sample_index, long samples, long elements, float *out);

/// out [samples][elements]: 1/(1−p) where u ≥ p, else 0, with u = ⌊word/2⁸⌋·2⁻²⁴ uniform in [0, 1). 0 ≤ p < 1.
void ck_random_dropout_mask(
  const ck_random *random, const uint32_t *sample_index, long samples, long elements, float p, float *out);
