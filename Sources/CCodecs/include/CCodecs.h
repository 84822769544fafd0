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
} ccodecs_size;

// Reads the header only.
int ccodecs_png_size(const uint8_t *bytes, size_t count, ccodecs_size *size, char *error);
// Decodes to rows of width·channels bytes (the header's size); alpha is composited over white.
int ccodecs_png_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t pixel_count, char *error);
// Encodes 8-bit grey or RGB. `*out` is malloc'ed; the caller frees it.
int ccodecs_png_encode(const uint8_t *pixels, ccodecs_size size, int level, uint8_t **out, size_t *out_count,
                       char *error);

// Reads the header only; `scale_denominator` 1, 2, 4 or 8 asks for an image that much smaller.
int ccodecs_jpeg_size(const uint8_t *bytes, size_t count, unsigned scale_denominator, ccodecs_size *size, char *error);
// Decodes at 1/`scale_denominator` of the size, to rows of width·channels bytes.
int ccodecs_jpeg_decode(const uint8_t *bytes, size_t count, unsigned scale_denominator, uint8_t *pixels,
                        size_t pixel_count, char *error);
// Encodes 8-bit grey or RGB at quality 1…100. `*out` is malloc'ed; the caller frees it.
int ccodecs_jpeg_encode(const uint8_t *pixels, ccodecs_size size, int quality, uint8_t **out, size_t *out_count,
                        char *error);
