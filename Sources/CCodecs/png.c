#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CCodecs.h"

typedef struct {
  const uint8_t *bytes;
  size_t count, position;
} source;

typedef struct {
  uint8_t *bytes;
  size_t count, capacity;
} sink;

static void on_error(png_structp png, png_const_charp message) {
  char *error = png_get_error_ptr(png);
  snprintf(error, CCODECS_ERROR_LENGTH, "%s", message);
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message;
}

static void read_bytes(png_structp png, png_bytep out, size_t count) {
  source *from = png_get_io_ptr(png);
  if (count > from->count - from->position) png_error(png, "the file ends too early");
  memcpy(out, from->bytes + from->position, count);
  from->position += count;
}

// The number of channels asked of the decoder: colour only if the file can hold it.
static uint32_t channels_of(png_structp png, png_infop info) {
  return png_get_color_type(png, info) & PNG_COLOR_MASK_COLOR ? 3 : 1;
}

static png_structp open_reader(source *from, png_infop *info, char *error) {
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, error, on_error, on_warning);
  if (!png) {
    snprintf(error, CCODECS_ERROR_LENGTH, "libpng could not start (out of memory, or its version does not match)");
    return NULL;
  }
  *info = png_create_info_struct(png);
  png_set_read_fn(png, from, read_bytes);
  // Text and colour profiles are of no use here: do not let them take memory.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
  png_set_chunk_malloc_max(png, 1 << 22);
  png_set_user_limits(png, 1 << 20, 1 << 20);
  return png;
}

int ccodecs_png_size(const uint8_t *bytes, size_t count, ccodecs_size *size, char *error) {
  source from = {bytes, count, 0};
  png_infop info = NULL;
  png_structp png = open_reader(&from, &info, error);
  if (!png) return 1;
  if (!info || setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, NULL);
    return 1;
  }
  png_read_info(png, info);
  size->width = png_get_image_width(png, info);
  size->height = png_get_image_height(png, info);
  size->channels = channels_of(png, info);
  size->memory = png_get_interlace_type(png, info) == PNG_INTERLACE_NONE
                     ? 0
                     : (uint64_t)size->width * size->height * size->channels;
  png_destroy_read_struct(&png, &info, NULL);
  return 0;
}

int ccodecs_png_decode(const uint8_t *bytes, size_t count, ccodecs_size size, ccodecs_row on_row, void *context,
                       char *error) {
  source from = {bytes, count, 0};
  png_infop info = NULL;
  // Written after setjmp and read after longjmp: volatile, by the C standard.
  uint8_t *volatile pixels = NULL;
  png_structp png = open_reader(&from, &info, error);
  if (!png) return 1;
  if (!info || setjmp(png_jmpbuf(png))) {
    free(pixels);
    png_destroy_read_struct(&png, &info, NULL);
    return 1;
  }
  png_read_info(png, info);

  png_set_scale_16(png);
  // Palette to RGB, 1-, 2- and 4-bit grey to 8 bits, tRNS to alpha.
  png_set_expand(png);
  if (png_get_color_type(png, info) & PNG_COLOR_MASK_ALPHA || png_get_valid(png, info, PNG_INFO_tRNS)) {
    png_color_16 white = {0, 255, 255, 255, 255};
    png_set_background(png, &white, PNG_BACKGROUND_GAMMA_SCREEN, 0, 1.0);
  }
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  size_t row_bytes = png_get_rowbytes(png, info);
  if (row_bytes != (size_t)size.width * size.channels || png_get_image_width(png, info) != size.width ||
      png_get_image_height(png, info) != size.height) {
    png_error(png, "unexpected pixel layout");
  }
  // An interlaced image comes in seven passes, each of which completes the rows of the one before.
  pixels = malloc(passes == 1 ? row_bytes : row_bytes * size.height);
  if (!pixels) png_error(png, "out of memory");
  for (int pass = 0; pass < passes; pass++) {
    for (uint32_t y = 0; y < size.height; y++) {
      uint8_t *row = passes == 1 ? pixels : pixels + y * row_bytes;
      png_read_row(png, row, NULL);
      if (pass == passes - 1) on_row(context, row);
    }
  }
  png_read_end(png, NULL);
  free(pixels);
  png_destroy_read_struct(&png, &info, NULL);
  return 0;
}

static void write_bytes(png_structp png, png_bytep bytes, size_t count) {
  sink *to = png_get_io_ptr(png);
  if (to->count + count > to->capacity) {
    size_t capacity = (to->count + count) * 2 + 4096;
    uint8_t *grown = realloc(to->bytes, capacity);
    if (!grown) png_error(png, "out of memory");
    to->bytes = grown;
    to->capacity = capacity;
  }
  memcpy(to->bytes + to->count, bytes, count);
  to->count += count;
}

static void flush_bytes(png_structp png) { (void)png; }

int ccodecs_png_encode(const uint8_t *pixels, ccodecs_size size, int level, uint8_t **out, size_t *out_count,
                       char *error) {
  // The sink is reached through libpng's pointer, so it is memory and no register: safe across longjmp.
  sink to = {NULL, 0, 0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, error, on_error, on_warning);
  if (!png) {
    snprintf(error, CCODECS_ERROR_LENGTH, "libpng could not start (out of memory, or its version does not match)");
    return 1;
  }
  png_infop info = png_create_info_struct(png);
  sink *volatile sink_pointer = &to;
  if (!info || setjmp(png_jmpbuf(png))) {
    free(sink_pointer->bytes);
    png_destroy_write_struct(&png, &info);
    return 1;
  }
  png_set_write_fn(png, &to, write_bytes, flush_bytes);
  png_set_compression_level(png, level);
  png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
  png_set_IHDR(png, info, size.width, size.height, 8, size.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  size_t row_bytes = (size_t)size.width * size.channels;
  for (uint32_t y = 0; y < size.height; y++) png_write_row(png, pixels + y * row_bytes);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  *out = to.bytes;
  *out_count = to.count;
  return 0;
}
