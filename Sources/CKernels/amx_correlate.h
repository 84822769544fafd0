#pragma once
#include "amx_stream.h"

/// One correlation of a convolution with packed weights:
/// y[position] = Σ_tap,i w[tap][i] · u[pixel(position, tap)][i] + bias + add.
struct ck_correlate {
  struct ck_stream stream;
  long in_channels, out_channels;
  long slots;  // K·K
  int rounds;  // hi alone is written and read
  long image_parts, channel_parts;
  long thread_bytes;
  float *y;
  const float *x, *bias, *add;
  const struct ck_conv_prologue *prologue;
  const char *packed;
  char *scratch;
};

/// Plans the work for the present ck_threads().
void ck_correlate_init(struct ck_correlate *job, const struct ck_correlation *of, long in_channels, long out_channels,
                       long slots);
size_t ck_correlate_scratch(const struct ck_correlate *job);
void ck_correlate_run(struct ck_correlate *job);
