#include <stddef.h>
#include <stdio.h>
// jpeglib.h needs the two above first.
#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "CCodecs.h"

typedef struct {
  struct jpeg_error_mgr base;
  jmp_buf escape;
  char *error;
} error_manager;

// A progressive file can ask for the whole picture thousands of times over. Encoders make some ten scans: refuse many more.
enum { MAXIMUM_SCANS = 100 };

static void on_error(j_common_ptr info) {
  error_manager *manager = (error_manager *)info->err;
  char message[JMSG_LENGTH_MAX];
  manager->base.format_message(info, message);
  snprintf(manager->error, CCODECS_ERROR_LENGTH, "%s", message);
  longjmp(manager->escape, 1);
}

// libjpeg paints over damage with grey and calls it a warning; for training data it is an error.
static void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
      on_error(info);
    default:
      break;
  }
}

static void on_progress(j_common_ptr info) {
  if (!info->is_decompressor) return;
  if (((j_decompress_ptr)info)->input_scan_number > MAXIMUM_SCANS) {
    error_manager *manager = (error_manager *)info->err;
    snprintf(manager->error, CCODECS_ERROR_LENGTH, "more than %d scans", MAXIMUM_SCANS);
    longjmp(manager->escape, 1);
  }
}

static void install(error_manager *manager, struct jpeg_common_struct *info, char *error) {
  info->err = jpeg_std_error(&manager->base);
  manager->base.error_exit = on_error;
  manager->base.emit_message = on_message;
  manager->error = error;
}

// Reads the header and settles scale and colours.
static void start(j_decompress_ptr info, const uint8_t *bytes, size_t count, unsigned scale_denominator) {
  jpeg_create_decompress(info);
  jpeg_mem_src(info, bytes, count);
  jpeg_read_header(info, TRUE);
  info->scale_num = 1;
  info->scale_denom = scale_denominator;
  // libjpeg turns CMYK and YCCK only into CMYK; the last step to RGB is ours.
  if (info->num_components == 4) info->out_color_space = JCS_CMYK;
  else info->out_color_space = info->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_calc_output_dimensions(info);
}

static uint32_t channels_of(j_decompress_ptr info) { return info->num_components == 1 ? 1 : 3; }

// A file in several scans is collected as coefficients, 2 bytes each, before the first row can be decoded.
static uint64_t memory_of(j_decompress_ptr info) {
  if (!jpeg_has_multiple_scans(info)) return 0;
  uint64_t bytes = 0;
  for (int i = 0; i < info->num_components; i++) {
    const jpeg_component_info *component = &info->comp_info[i];
    bytes += (uint64_t)component->width_in_blocks * component->height_in_blocks * sizeof(JBLOCK);
  }
  return bytes;
}

int ccodecs_jpeg_size(const uint8_t *bytes, size_t count, ccodecs_size *size, char *error) {
  struct jpeg_decompress_struct info;
  error_manager manager;
  memset(&info, 0, sizeof info);
  install(&manager, (struct jpeg_common_struct *)&info, error);
  if (setjmp(manager.escape)) {
    jpeg_destroy_decompress(&info);
    return 1;
  }
  start(&info, bytes, count, 1);
  size->width = info.output_width;
  size->height = info.output_height;
  size->channels = channels_of(&info);
  size->memory = memory_of(&info);
  jpeg_destroy_decompress(&info);
  return 0;
}

// Adobe writes CMYK inverted (255 means no ink), and marks the file so.
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t count, int inverted) {
  for (size_t i = 0; i < count; i++) {
    for (int c = 0; c < 3; c++) {
      unsigned ink = cmyk[4 * i + c], black = cmyk[4 * i + 3];
      unsigned light = inverted ? ink * black : (255 - ink) * (255 - black);
      rgb[3 * i + c] = (uint8_t)((light + 127) / 255);
    }
  }
}

int ccodecs_jpeg_decode(const uint8_t *bytes, size_t count, unsigned scale_denominator, ccodecs_size size,
                        ccodecs_row on_row, void *context, char *error) {
  struct jpeg_decompress_struct info;
  struct jpeg_progress_mgr progress;
  error_manager manager;
  uint8_t *volatile line = NULL;
  uint8_t *volatile row = NULL;
  memset(&info, 0, sizeof info);
  memset(&progress, 0, sizeof progress);
  progress.progress_monitor = on_progress;
  install(&manager, (struct jpeg_common_struct *)&info, error);
  if (setjmp(manager.escape)) {
    free(line);
    free(row);
    jpeg_destroy_decompress(&info);
    return 1;
  }
  start(&info, bytes, count, scale_denominator);
  info.progress = &progress;
  int four = info.num_components == 4;
  if (info.output_width != size.width || info.output_height != size.height || channels_of(&info) != size.channels) {
    snprintf(error, CCODECS_ERROR_LENGTH, "unexpected pixel layout");
    longjmp(manager.escape, 1);
  }
  jpeg_start_decompress(&info);
  row = malloc((size_t)size.width * size.channels);
  line = four ? malloc((size_t)size.width * 4) : NULL;
  if (!row || (four && !line)) {
    snprintf(error, CCODECS_ERROR_LENGTH, "out of memory");
    longjmp(manager.escape, 1);
  }
  while (info.output_scanline < info.output_height) {
    JSAMPROW target = four ? line : row;
    jpeg_read_scanlines(&info, &target, 1);
    if (four) cmyk_to_rgb(line, row, info.output_width, info.saw_Adobe_marker);
    on_row(context, row);
  }
  jpeg_finish_decompress(&info);
  free(line);
  free(row);
  jpeg_destroy_decompress(&info);
  return 0;
}

typedef struct {
  unsigned char *bytes;
  unsigned long count;
} jpeg_output;

int ccodecs_jpeg_encode(const uint8_t *pixels, ccodecs_size size, int quality, uint8_t **out, size_t *out_count,
                        char *error) {
  struct jpeg_compress_struct info;
  error_manager manager;
  jpeg_output *volatile output = calloc(1, sizeof(jpeg_output));
  if (!output) {
    snprintf(error, CCODECS_ERROR_LENGTH, "out of memory");
    return 1;
  }
  memset(&info, 0, sizeof info);
  install(&manager, (struct jpeg_common_struct *)&info, error);
  if (setjmp(manager.escape)) {
    // libjpeg sets `bytes` to its current buffer only at the end: what it holds now may be freed already.
    free(output);
    jpeg_destroy_compress(&info);
    return 1;
  }
  jpeg_create_compress(&info);
  jpeg_mem_dest(&info, &output->bytes, &output->count);
  info.image_width = size.width;
  info.image_height = size.height;
  info.input_components = (int)size.channels;
  info.in_color_space = size.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  jpeg_start_compress(&info, TRUE);
  size_t row_bytes = (size_t)size.width * size.channels;
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = (JSAMPROW)(pixels + info.next_scanline * row_bytes);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  *out = output->bytes;
  *out_count = output->count;
  free(output);
  return 0;
}
