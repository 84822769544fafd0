#include "CKernels.h"
#include "ck_internal.h"

// The normals are the same bits on every machine: only correctly rounded operations, in the order written, none fused.
#pragma STDC FP_CONTRACT OFF

/// π rounded toward zero, as Swift’s Float.pi: part of the convention.
#define FLOAT_PI 0x1.921fb4p1f

// Sixteen blocks at a time: word w of the blocks stands in one vector, lane l being block first + l.
typedef uint32_t u16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint64_t wide __attribute__((vector_size(128), aligned(8)));

typedef enum { NORMAL, DROPOUT } kind;

typedef struct {
  const ck_random *random;
  const uint32_t *sample_index;
  long samples, elements;
  kind kind;
  float probability, factor;
  uint32_t *out;
} job;

void ck_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    uint64_t p0 = (uint64_t)x0 * 0xD2511F53u, p1 = (uint64_t)x2 * 0xCD9E8D57u;
    uint32_t y0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0, y2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
    x1 = (uint32_t)p1, x3 = (uint32_t)p0, x0 = y0, x2 = y2;
  }
  out[0] = x0, out[1] = x1, out[2] = x2, out[3] = x3;
}

/// high, low = the halves of x · factor in each lane.
CK_INLINE void multiply_wide(const u16 *x, uint32_t factor, u16 *high, u16 *low) {
  wide product = __builtin_convertvector(*x, wide) * factor;
  *high = __builtin_convertvector(product >> 32, u16);
  *low = __builtin_convertvector(product, u16);
}

/// Blocks first..<first + 16 of one sample.
CK_INLINE void philox16(const ck_random *random, uint32_t first, uint32_t sample, u16 x[4]) {
  const u16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  u16 zero = {0};
  x[0] = lanes + first, x[1] = zero + sample, x[2] = zero + random->step, x[3] = zero + random->stream;
  uint32_t k0 = (uint32_t)random->seed, k1 = (uint32_t)(random->seed >> 32);
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    u16 high0, low0, high1, low1;
    multiply_wide(&x[0], 0xD2511F53u, &high0, &low0);
    multiply_wide(&x[2], 0xCD9E8D57u, &high1, &low1);
    u16 y0 = high1 ^ x[1] ^ k0, y2 = high0 ^ x[3] ^ k1;
    x[0] = y0, x[1] = low1, x[2] = y2, x[3] = low0;
  }
}

/// *u = ln u for normal u in (0, 1]: u = m·2ᵉ, m in [√½, √2), ln m = 2 artanh((m − 1)/(m + 1)).
CK_INLINE void logarithm(v16 *u) {
  i16 bits = (i16)*u, exponent = (bits - 0x3F3504F3) >> 23;
  v16 m = (v16)(bits - (exponent << 23)), s = (m - 1.f) / (m + 1.f), s2 = s * s;
  v16 p = splat16(1.f / 9);
  p = p * s2 + 1.f / 7;
  p = p * s2 + 1.f / 5;
  p = p * s2 + 1.f / 3;
  p = p * s2 + 1.f;
  *u = __builtin_convertvector(exponent, v16) * 0.693147180559945309f + 2.f * s * p;
}

/// cos and sin of 2π(v + ½)·2⁻³²: to the nearest quarter turn in integers, then Taylor polynomials on [−π/4, π/4).
CK_INLINE void turn(const u16 *v, v16 *cosine, v16 *sine) {
  u16 shifted = *v + 0x20000000u, quarter = shifted >> 30;
  i16 rest = (i16)(shifted & 0x3FFFFFFFu) - 0x20000000;
  v16 phi = (__builtin_convertvector(rest, v16) + 0.5f) * (2 * FLOAT_PI * 0x1p-32f), phi2 = phi * phi;
  v16 s = splat16(1.f / 362880), c = splat16(-1.f / 3628800);
  s = s * phi2 - 1.f / 5040;
  s = s * phi2 + 1.f / 120;
  s = s * phi2 - 1.f / 6;
  s = s * phi2 + 1.f;
  s = s * phi;
  c = c * phi2 + 1.f / 40320;
  c = c * phi2 - 1.f / 720;
  c = c * phi2 + 1.f / 24;
  c = c * phi2 - 0.5f;
  c = c * phi2 + 1.f;
  // Quarters 1 and 3 swap the two; the cosine is negative in 1 and 2, the sine in 2 and 3.
  i16 swap = -(i16)(quarter & 1);
  u16 cosine_sign = ((quarter + 1) & 2) << 30, sine_sign = (quarter & 2) << 30;
  *cosine = (v16)((u16)select16(swap, s, c) ^ cosine_sign);
  *sine = (v16)((u16)select16(swap, c, s) ^ sine_sign);
}

/// (z0, z1) = r·(cos θ, sin θ), r = √(−2 ln u), u = (w + ½)·2⁻³², θ from v.
CK_INLINE void box_muller(const u16 *w, const u16 *v, v16 *z0, v16 *z1) {
  v16 u = (__builtin_convertvector(*w, v16) + 0.5f) * 0x1p-32f, cosine, sine;
  logarithm(&u);
  v16 radius = __builtin_elementwise_sqrt(-2.f * u);
  turn(v, &cosine, &sine);
  *z0 = radius * cosine;
  *z1 = radius * sine;
}

/// 64 elements of one sample, from block `first`: out[4·block + word].
CK_INLINE void generate(const job *job, uint32_t first, uint32_t sample, uint32_t *out) {
  u16 words[4];
  v16 values[4];
  philox16(job->random, first, sample, words);
  if (job->kind == NORMAL) {
    box_muller(&words[0], &words[1], &values[0], &values[1]);
    box_muller(&words[2], &words[3], &values[2], &values[3]);
  } else {
    for (int word = 0; word < 4; word++) {
      v16 uniform = __builtin_convertvector((i16)(words[word] >> 8), v16) * 0x1p-24f;
      values[word] = (v16)((uniform >= job->probability) & (i16)splat16(job->factor));
    }
  }
  uint32_t columns[4][16];
  for (int word = 0; word < 4; word++) store16((float *)columns[word], values[word]);
  for (int block = 0; block < 16; block++)
    for (int word = 0; word < 4; word++) out[block * 4 + word] = columns[word][block];
}

/// Runs of 64 elements; a sample's last run may be shorter.
CK_CLONES static void generate_runs(const job *job, span runs, long runs_per_sample) {
  for (long run = runs.first; run < runs.last; run++) {
    long sample = run / runs_per_sample, begin = run % runs_per_sample * 64;
    long count = min_long(64, job->elements - begin);
    uint32_t *out = job->out + sample * job->elements + begin, whole[64];
    generate(job, (uint32_t)(begin / 4), job->sample_index[sample], count == 64 ? out : whole);
    if (count < 64) memcpy(out, whole, (size_t)count * sizeof *out);
  }
}

static void body(void *context, int thread, int threads) {
  const job *job = context;
  long runs_per_sample = (job->elements + 63) / 64;
  generate_runs(job, share_of(job->samples * runs_per_sample, thread, threads), runs_per_sample);
}

void ck_random_normal(const ck_random *random, const uint32_t *sample_index, long samples, long elements, float *out) {
  job job = {random, sample_index, samples, elements, NORMAL, 0, 0, (uint32_t *)out};
  ck_parallel_over(samples * elements, body, &job);
}

void ck_random_dropout_mask(
  const ck_random *random, const uint32_t *sample_index, long samples, long elements, float p, float *out) {
  job job = {random, sample_index, samples, elements, DROPOUT, p, 1.f / (1.f - p), (uint32_t *)out};
  ck_parallel_over(samples * elements, body, &job);
}
