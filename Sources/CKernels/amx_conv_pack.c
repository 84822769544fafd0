// Packed weights: B tiles of 32 input × 16 output channels, [output pair][input block][k·k][hi 0, hi 1, lo 0, lo 1];
// the last pair has [hi, lo] where output channels end halfway.
#include "amx_stream.h"

static size_t packed_size(long in, long out, long slots) {
  return (size_t)ceil_div(in, 32) * slots * (out / 16) * 2 * 1024;
}

size_t ck_amx_conv_forward_weights_size(const struct ck_conv *c) { return packed_size(c->Ci, c->Co, c->K * c->K); }

size_t ck_amx_conv_backward_weights_size(const struct ck_conv *c) { return packed_size(c->Co, c->Ci, c->K * c->K); }

#if defined(__x86_64__)
#include "amx_tile.h"

struct pack {
  const float *w;     // [Co/16][Ci/16][slots][16 i][16 o]
  char *packed;
  long in, out;       // channels summed over, channels made
  long slots;
  int transposed;     // in = Co: a block's rows are o only after transposition
  int rounds;
};

/// 16 rows k (summed over) of 16 columns n, split, or rounded where lo is null, as 8 row pairs of a B tile.
CK_AMX_INLINE void pack_half(const float *w, int transposed, char *hi, char *lo) {
  __m512i row[16];
  for (int k = 0; k < 16; k++) row[k] = w ? _mm512_loadu_si512(w + k * 16) : _mm512_setzero_si512();
  if (transposed) ck_transpose16(row);
  for (int k = 0; k < 16; k += 2) {
    __m512i h, l;
    ck_pair(ck_split16(_mm512_castsi512_ps(row[k])), ck_split16(_mm512_castsi512_ps(row[k + 1])), &h, &l);
    _mm512_storeu_si512(hi + k * 32, h);
    if (lo) _mm512_storeu_si512(lo + k * 32, l);
  }
}

CK_AMX static void pack_body(void *context, int thread, int threads) {
  const struct pack *job = context;
  const long in16 = job->in / 16, in32 = ceil_div(job->in, 32), out16 = job->out / 16;
  const span mine = share_of(out16 * in32, thread, threads);
  for (long item = mine.first; item < mine.last; item++) {
    const long o = item / in32, i32 = item % in32, pair = o / 2;
    const long columns = pair * 2 + 1 < out16 ? 2 : 1;
    for (long k = 0; k < job->slots; k++) {
      char *hi = job->packed + pair * in32 * job->slots * 4 * CK_TILE +
                 ((i32 * job->slots + k) * columns * 2 + o % 2) * CK_TILE;
      char *lo = job->rounds ? NULL : hi + columns * CK_TILE;
      for (long half = 0; half < 2; half++) {
        long i = i32 * 2 + half;
        long block = job->transposed ? i * out16 + o : o * in16 + i;
        const float *w = i < in16 ? job->w + (block * job->slots + k) * 256 : NULL;
        pack_half(w, job->transposed, hi + half * 512, lo ? lo + half * 512 : NULL);
      }
    }
  }
}

void ck_amx_conv_pack_forward(const struct ck_conv *c, const float *w, void *packed) {
  struct pack job = {.w = w, .packed = packed, .in = c->Ci, .out = c->Co, .slots = c->K * c->K, .rounds = c->rounds};
  ck_parallel_over(c->Ci * c->Co * c->K * c->K, pack_body, &job);
}

void ck_amx_conv_pack_backward(const struct ck_conv *c, const float *w, void *packed) {
  struct pack job = {.w = w, .packed = packed, .in = c->Co, .out = c->Ci, .slots = c->K * c->K, .transposed = 1,
                     .rounds = c->rounds};
  ck_parallel_over(c->Ci * c->Co * c->K * c->K, pack_body, &job);
}
#else
void ck_amx_conv_pack_forward(const struct ck_conv *c, const float *w, void *packed) {
  (void)c, (void)w, (void)packed;
}
void ck_amx_conv_pack_backward(const struct ck_conv *c, const float *w, void *packed) {
  (void)c, (void)w, (void)packed;
}
#endif
