// Exercises every kernel at odd sizes, each buffer its own allocation, for a memory checker to watch: see check-memory.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "CKernels.h"

static void *allocations[256];
static int allocated;

/// `n` floats of exactly that size on the heap.
static float *floats(long n) {
  float *p = malloc((size_t)n * sizeof(float));
  for (long i = 0; i < n; i++) p[i] = (float)((i * 7919) % 1000) / 1000.f - 0.5f;
  allocations[allocated++] = p;
  return p;
}

static void release(void) {
  while (allocated > 0) free(allocations[--allocated]);
}

static void norm(long samples, long channels, long pixels, long groups, ck_format format) {
  ck_group_norm shape = {samples, channels, pixels, groups, 1e-5f, CK_ACTIVATION_SILU, format};
  long n = samples * (format == CK_BLOCKED ? (channels + 15) / 16 * 16 : channels) * pixels;
  float *x = floats(n), *y = floats(n), *dy = floats(n), *add = floats(n), *shift = floats(samples * channels);
  float *gamma = floats(channels), *beta = floats(channels), *dgamma = floats(channels), *dbeta = floats(channels);
  float *mean = floats(samples * groups), *rstd = floats(samples * groups), *dshift = floats(samples * channels);
  float *workspace = floats(ck_group_norm_workspace(&shape));
  ck_group_norm_forward(&shape, x, shift, gamma, beta, y, mean, rstd, workspace);
  ck_group_norm_backward(&shape, x, shift, gamma, beta, mean, rstd, dy, add, y, dgamma, dbeta, dshift, workspace);
  release();
}

static void winograd(long samples, long inputs, long outputs, long height, long width) {
  ck_winograd conv = {samples, inputs, outputs, height, width};
  long pixels = samples * height * width;
  float *x = floats(pixels * inputs), *y = floats(pixels * outputs), *bias = floats(outputs);
  float *w = floats(9 * inputs * outputs);
  float *transformed = floats(ck_winograd_weights(&conv));
  ck_winograd_transform(&conv, w, transformed);
  ck_winograd_forward(&conv, x, transformed, bias, y, y, floats(ck_winograd_forward_workspace(&conv)));
  ck_winograd_transform_backward(&conv, w, transformed);
  ck_winograd_backward_data(&conv, y, transformed, NULL, x, floats(ck_winograd_backward_data_workspace(&conv)));
  ck_winograd_backward_weights(&conv, x, y, w, floats(ck_winograd_backward_weights_workspace(&conv)));
  release();
}

static void attention(long samples, long heads, long channels, long queries, long keys, ck_format format) {
  ck_attention shape = {samples, heads, channels, queries, keys, 0.3f, format, 0, 0, 0, 0};
  long width = heads * channels;
  if (format == CK_BLOCKED) width = (width + 15) / 16 * 16;
  long n = samples * width * queries, m = samples * width * keys;
  float *q = floats(n), *k = floats(m), *v = floats(m), *o = floats(n), *dO = floats(n);
  float *dq = floats(n), *dk = floats(m), *dv = floats(m);
  float *log_sum_exp = floats(samples * heads * queries);
  ck_attention_forward(&shape, q, k, v, o, log_sum_exp, floats(ck_attention_forward_workspace(&shape)));
  ck_attention_backward(
    &shape, q, k, v, o, log_sum_exp, dO, dq, dk, dv, floats(ck_attention_backward_workspace(&shape)));
  float *rows = floats(samples * keys), *out = floats(samples * keys);
  ck_softmax(rows, out, samples, keys, 1);
  ck_softmax_backward(rows, out, out, samples, keys, 1);
  release();
}

static void elementwise(long n) {
  float *x = floats(n), *y = floats(n), *z = floats(n), *out = floats(n);
  for (int op = CK_NEG; op <= CK_SILU_SLOPE; op++) ck_unary_apply((ck_unary)op, x, out, n, 0.5f, 1);
  for (int op = CK_ADD; op <= CK_SILU_GRADIENT; op++) ck_binary_apply((ck_binary)op, x, y, out, n);
  ck_select(x, y, z, out, n);
  ck_accumulate(x, out, n);
  ck_accumulate_scaled(x, 2, out, n);
  ck_linear_combination((const float *[]){x, y, z}, (float[]){1, 2, 3}, 3, out, n);
  ck_fill(out, n, ck_sum(x, n) + ck_sum_of_squares(x, n) > 0);
  ck_adam adam = {1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 1, 0.99, 0.1, 0.001};
  float *v = floats(n);
  ck_fill(v, n, 0);
  ck_adam_step(&adam, x, y, z, v, out, n);
  ck_ema(x, out, n, 0.9);
  ck_random random = {1, 2, 3};
  uint32_t index[2] = {0, 7};
  float *noise = floats(2 * n);
  ck_random_bits(&random, index, 2, n, (uint32_t *)noise);
  ck_random_uniform(&random, index, 2, n, noise);
  ck_random_normal(&random, index, 2, n, noise);
  ck_random_dropout_mask(&random, index, 2, n, 0.5f, noise);
  release();
}

static void layout(long samples, long channels, long height, long width, long factor) {
  long pixels = height * width, blocks = (channels + 15) / 16, count = samples * channels * pixels;
  float *plain = floats(count), *blocked = floats(samples * blocks * 16 * pixels);
  ck_plain_to_blocked(plain, blocked, samples, channels, pixels);
  ck_blocked_to_plain(blocked, plain, samples, channels, pixels);
  float *w = floats(channels * samples * 9), *packed = floats(blocks * ((samples + 15) / 16) * 9 * 256);
  ck_weights_to_blocked(w, packed, channels, samples, 9);
  ck_weights_to_plain(packed, w, channels, samples, 9);
  for (int is_blocked = 0; is_blocked < 2; is_blocked++) {
    long planes = samples * (is_blocked ? blocks : channels), lanes = is_blocked ? 16 : 1;
    float *x = is_blocked ? blocked : plain, *large = floats(planes * lanes * pixels * factor * factor);
    float *small = floats(planes * lanes * (height / factor) * (width / factor) + 1);
    ck_upsample_nearest(x, large, planes, height, width, factor, (ck_format)is_blocked);
    ck_upsample_nearest_backward(large, x, planes, height, width, factor, (ck_format)is_blocked);
    ck_average_pool(x, small, planes, height, width, factor, (ck_format)is_blocked);
    ck_average_pool_backward(small, x, planes, height, width, factor, (ck_format)is_blocked);
    ck_channel_sums(x, floats(channels), samples, channels, pixels, is_blocked);
  }
  float *other = floats(count), *wide = floats(2 * count);
  long shape[4] = {samples, channels, height, width}, permutation[4] = {0, 2, 3, 1};
  long strides[4] = {channels * pixels, pixels, width, 1};
  ck_transpose(plain, other, 4, shape, permutation);
  ck_gather_strided(plain, strides, other, 4, shape);
  ck_scatter_strided(plain, other, strides, 4, shape, 1);
  ck_copy_rows(plain, channels * pixels, wide, 2 * channels * pixels, samples, channels * pixels);
  ck_add_rows(wide, 2 * channels * pixels, plain, channels * pixels, samples, channels * pixels);
  long per_channel[4] = {0, 1, 0, 0};
  ck_binary_broadcast(CK_MUL, plain, strides, floats(channels), per_channel, other, 4, shape);
  ck_reduce(CK_REDUCE_SUM, plain, strides, 4, shape, (int[]){1, 0, 1, 0}, floats(channels * width));
  ck_reduce(CK_REDUCE_MAX, plain, strides, 4, shape, (int[]){0, 1, 0, 1}, floats(samples * height));
  ck_row_sums(plain, floats(samples * channels), samples * channels, pixels);
  ck_column_sums(plain, floats(pixels), samples * channels, pixels);
  release();
}

int main(void) {
  for (int threads = 1; threads <= 3; threads++) {
    ck_set_threads(threads);
    for (int format = CK_PLAIN; format <= CK_BLOCKED; format++) {
      norm(2, 32, 49, 4, (ck_format)format);
      norm(1, 48, 33, 1, (ck_format)format);
      norm(3, 10, 5, 5, (ck_format)format);
      norm(2, 96, 1, 4, (ck_format)format);
      attention(2, 2, 16, 20, 33, (ck_format)format);
      attention(1, 3, 5, 7, 1, (ck_format)format);
      attention(1, 1, 48, 130, 130, (ck_format)format);
    }
    winograd(2, 32, 48, 7, 9);
    winograd(1, 16, 16, 1, 1);
    winograd(3, 48, 32, 8, 8);
    winograd(1, 16, 64, 28, 5);
    elementwise(1);
    elementwise(64);
    elementwise(1003);
    layout(2, 20, 5, 7, 2);
    layout(3, 32, 6, 6, 3);
    layout(1, 1, 1, 1, 2);
    layout(2, 16, 20, 17, 2);
  }
  puts("every kernel ran");
  return 0;
}
