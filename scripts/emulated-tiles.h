// Intel's tile instructions in plain C, for processors without AMX: included before a kernel's source, it takes the place of the intrinsics.
// With it check-memory runs the kernels on tiles anywhere.
#include <immintrin.h>
#include <string.h>

static __thread char emulated_tile[8][16][64];

static inline void emulated_load(int tile, const void *base, long pitch) {
  for (int r = 0; r < 16; r++) memcpy(emulated_tile[tile][r], (const char *)base + r * pitch, 64);
}

static inline void emulated_store(int tile, void *base, long pitch) {
  for (int r = 0; r < 16; r++) memcpy((char *)base + r * pitch, emulated_tile[tile][r], 64);
}

static inline float emulated_bf16(unsigned short bits) {
  unsigned wide = (unsigned)bits << 16;
  float value;
  memcpy(&value, &wide, 4);
  return value;
}

/// C[m][n] += Σ_k A[m][k]·B[k/2][n][k mod 2]
static inline void emulated_product(int c, int a, int b) {
  for (int m = 0; m < 16; m++)
    for (int n = 0; n < 16; n++) {
      float sum;
      memcpy(&sum, emulated_tile[c][m] + n * 4, 4);
      for (int pair = 0; pair < 16; pair++) {
        unsigned short x[2], y[2];
        memcpy(x, emulated_tile[a][m] + pair * 4, 4);
        memcpy(y, emulated_tile[b][pair] + n * 4, 4);
        for (int i = 0; i < 2; i++) sum += emulated_bf16(x[i]) * emulated_bf16(y[i]);
      }
      memcpy(emulated_tile[c][m] + n * 4, &sum, 4);
    }
}

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadd(tile, base, pitch) emulated_load(tile, base, pitch)
#define _tile_stored(tile, base, pitch) emulated_store(tile, base, pitch)
#define _tile_zero(tile) memset(emulated_tile[tile], 0, sizeof emulated_tile[tile])
#define _tile_dpbf16ps(c, a, b) emulated_product(c, a, b)
#define _tile_loadconfig(configuration) ((void)(configuration))
#define _tile_release() ((void)0)
