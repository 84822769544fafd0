// PNG and JPEG behind plain functions.
//
// libpng and libjpeg report errors by longjmp, which must not cross Swift frames. Every setjmp lives in this target;
// each function returns 0 for success, or fills `error` with one line and returns non-zero.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { CCODECS_ERROR_LENGTH = 256 };

typedef struct {
  uint32_t width;
  uint32_t height;
  uint32_t channels;  // 1 for grey, 3 for RGB
  uint64_t memory;    // bytes that decoding takes besides single rows: of interlaced and progressive files
} ccodecs_size;

// Takes the next row of width·channels bytes. It must return: decoders jump over their own frames only.
typedef void (*ccodecs_row)(void *context, const uint8_t *row);

// Reads the header only.
int ccodecs_png_size(const uint8_t *bytes, size_t count, ccodecs_size *size, char *error);
// Hands on the rows of an image whose header said `size`, from the top; alpha is composited over white.
int ccodecs_png_decode(const uint8_t *bytes, size_t count, ccodecs_size size, ccodecs_row on_row, void *context,
                       char *error);
// Encodes 8-bit grey or RGB. `*out` is malloc'ed; the caller frees it.
int ccodecs_png_encode(const uint8_t *pixels, ccodecs_size size, int level, uint8_t **out, size_t *out_count,
                       char *error);

// Reads the header only.
int ccodecs_jpeg_size(const uint8_t *bytes, size_t count, ccodecs_size *size, char *error);
// Hands on the rows at 1/`scale_denominator` of the size (1, 2, 4 or 8; `size` is then that much smaller, rounded up).
int ccodecs_jpeg_decode(const uint8_t *bytes, size_t count, unsigned scale_denominator, ccodecs_size size,
                        ccodecs_row on_row, void *context, char *error);
// Encodes 8-bit grey or RGB at quality 1…100. `*out` is malloc'ed; the caller frees it.
int ccodecs_jpeg_encode(const uint8_t *pixels, ccodecs_size size, int quality, uint8_t **out, size_t *out_count,
                        char *error);
