// Runs every kernel that this processor can, at odd sizes, for a memory checker to watch: see check-memory. Each buffer
// is an allocation of its own, exactly as large as the kernel asks. Tile instructions no checker watches: what they read
// ends at a page that may not be touched.
//
// With an argument it says what the kernels have computed, a line a buffer, for check-processors to compare.
#define _GNU_SOURCE  // MAP_ANONYMOUS
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "CKernels.h"

/// What was allocated, and how many floats of it are results; none of a workspace are.
static struct {
  float *base;
  long results;
} allocations[256];
static int allocated;
static int says_values;

/// `n` floats of exactly that size on the heap.
static float *floats(long n) {
  float *p = malloc((size_t)n * sizeof(float));
  for (long i = 0; i < n; i++) p[i] = (float)((i * 7919) % 1000) / 1000.f - 0.5f;
  allocations[allocated].base = p;
  allocations[allocated++].results = n;
  return p;
}

/// What a kernel works in, which holds what it likes afterwards.
static float *workspace_of(long n) {
  float *p = floats(n);
  allocations[allocated - 1].results = 0;
  return p;
}

/// The sums of a buffer and of its magnitudes, one weighted so that order counts.
static void say(const char *kernels, int index, const float *values, long count) {
  double sum = 0, magnitude = 0;
  for (long i = 0; i < count; i++) sum += values[i] * (double)(1 + i % 7), magnitude += fabs((double)values[i]) * 7;
  printf("%s %d %ld %.17g %.17g\n", kernels, index, count, sum, magnitude);
}

static struct {
  void *base;
  size_t size;
} mappings[16];
static int mapped;

/// `bytes`, a multiple of 64, that end where a page begins that may not be touched.
static char *before_a_guard(size_t bytes) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
  char *base = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED || mprotect(base + room, page, PROT_NONE) != 0) {
    perror("check-memory");
    exit(1);
  }
  mappings[mapped].base = base;
  mappings[mapped++].size = room + page;
  return base + room - bytes;
}

/// An AMX kernel's scratch. Of its bytes 64 are for alignment, which this has.
static char *scratch_of(size_t bytes) { return before_a_guard(bytes - 64); }

static void release(const char *kernels) {
  for (int i = 0; says_values && i < allocated; i++)
    if (allocations[i].results) say(kernels, i, allocations[i].base, allocations[i].results);
  while (allocated > 0) free(allocations[--allocated].base);
  while (mapped > 0) {
    mapped--;
    munmap(mappings[mapped].base, mappings[mapped].size);
  }
}

static void norm(long samples, long channels, long pixels, long groups, ck_format format) {
  ck_group_norm shape = {samples, channels, pixels, groups, 1e-5f, CK_ACTIVATION_SILU, format};
  long n = samples * (format == CK_BLOCKED ? (channels + 15) / 16 * 16 : channels) * pixels;
  float *x = floats(n), *y = floats(n), *dy = floats(n), *add = floats(n), *shift = floats(samples * channels);
  float *gamma = floats(channels), *beta = floats(channels), *dgamma = floats(channels), *dbeta = floats(channels);
  float *mean = floats(samples * groups), *rstd = floats(samples * groups), *dshift = floats(samples * channels);
  float *workspace = workspace_of(ck_group_norm_workspace(&shape));
  ck_group_norm_forward(&shape, x, shift, gamma, beta, y, mean, rstd, workspace);
  ck_group_norm_backward(&shape, x, shift, gamma, beta, mean, rstd, dy, add, y, dgamma, dbeta, dshift, workspace);
  float *scale = floats(samples * channels), *offset = floats(samples * channels);
  ck_group_norm_statistics(&shape, x, shift, gamma, beta, mean, rstd, scale, offset, workspace);
  release("norm");
}

static void winograd(long samples, long inputs, long outputs, long height, long width) {
  ck_winograd conv = {samples, inputs, outputs, height, width};
  long pixels = samples * height * width;
  float *x = floats(pixels * inputs), *y = floats(pixels * outputs), *bias = floats(outputs);
  float *w = floats(9 * inputs * outputs);
  long packed = ck_winograd_weights(&conv);
  // No result: not every processor keeps any.
  float *transformed = packed > 0 ? workspace_of(packed) : w;
  if (packed > 0) ck_winograd_transform(&conv, w, transformed);
  ck_winograd_forward(&conv, x, transformed, bias, y, y, workspace_of(ck_winograd_forward_workspace(&conv)));
  if (packed > 0) ck_winograd_transform_backward(&conv, w, transformed);
  ck_winograd_backward_data(&conv, y, transformed, NULL, x, workspace_of(ck_winograd_backward_data_workspace(&conv)));
  ck_winograd_backward_weights(&conv, x, y, w, workspace_of(ck_winograd_backward_weights_workspace(&conv)));
  release("winograd");
}

static void thin(long samples, long inputs, long outputs, long height, long width) {
  ck_thin conv = {samples, inputs, outputs, height, width};
  long pixels = samples * height * width;
  float *x = floats(pixels * inputs), *y = floats(pixels * outputs), *bias = floats(outputs);
  float *w = floats(9 * inputs * outputs), *packed = floats(ck_thin_weights(&conv));
  ck_thin_pack(&conv, w, packed);
  ck_thin_forward(&conv, x, packed, bias, y, y, workspace_of(ck_thin_workspace(&conv)));
  release("thin");
}

static void linear(long m, long n, long k) {
  ck_linear(floats(m * k), floats(n * k), floats(m * n), m, n, k);
  release("linear");
}

static float *bytes(size_t size) { return workspace_of((long)((size + 3) / 4)); }

/// Of a kernel of as many rows and columns, padded by half of it.
static ck_direct direct_of(
  long samples, long inputs, long outputs, long height, long width, long kernel, long stride) {
  return (ck_direct){
    samples, inputs, outputs, height, width, (height - 1) / stride + 1, (width - 1) / stride + 1, kernel, kernel, stride,
    kernel / 2, kernel / 2};
}

static void direct(long samples, long inputs, long outputs, long height, long width, long kernel, long stride) {
  ck_direct conv = direct_of(samples, inputs, outputs, height, width, kernel, stride);
  float *x = floats(samples * inputs * height * width), *y = floats(samples * outputs * conv.out_height * conv.out_width);
  float *w = floats(inputs * outputs * kernel * kernel), *bias = floats(outputs);
  long packed = ck_direct_forward_weights(&conv);
  float *weights = packed > 0 ? floats(packed) : w;
  if (packed > 0) ck_direct_pack(&conv, w, weights);
  ck_direct_forward(&conv, (ck_parts){x, NULL, 0}, weights, bias, y, y, workspace_of(ck_direct_forward_workspace(&conv)));
  float *turned = floats(ck_direct_backward_data_weights(&conv));
  ck_direct_pack_backward(&conv, w, turned);
  ck_direct_backward_data(&conv, y, turned, x, x, workspace_of(ck_direct_backward_data_workspace(&conv)));
  ck_direct_backward_weights(&conv, x, y, w, workspace_of(ck_direct_backward_weights_workspace(&conv)));
  release("direct");
}

static void matmul(int transposed_a, int transposed_b, long m, long n, long k) {
  ck_matmul(
    transposed_a, transposed_b, m, n, k, floats(m * k), floats(k * n), floats(m * n), workspace_of(ck_matmul_workspace(m, n, k)));
  release("matmul");
}

static void bf16_direct(
  long samples, long inputs, long outputs, long height, long width, long kernel, long stride) {
  ck_direct conv = direct_of(samples, inputs, outputs, height, width, kernel, stride);
  float *x = floats(samples * inputs * height * width), *y = floats(samples * outputs * conv.out_height * conv.out_width);
  float *w = floats(inputs * outputs * kernel * kernel), *packed = bytes(ck_bf16_direct_weights(&conv));
  ck_bf16_direct_pack(&conv, w, packed);
  ck_bf16_direct_forward(
    &conv, (ck_parts){x, NULL, 0}, packed, floats(outputs), y, y, bytes(ck_bf16_direct_forward_workspace(&conv)));
  ck_bf16_direct_pack_backward(&conv, w, packed);
  ck_bf16_direct_backward_data(&conv, y, packed, x, x, bytes(ck_bf16_direct_backward_data_workspace(&conv)));
  ck_bf16_direct_backward_weights(&conv, x, y, w, bytes(ck_bf16_direct_backward_weights_workspace(&conv)));
}

/// Convolutions with products in bfloat16.
static void bf16(long samples, long inputs, long outputs, long height, long width) {
  ck_winograd conv = {samples, inputs, outputs, height, width};
  long pixels = samples * height * width;
  float *x = floats(pixels * inputs), *y = floats(pixels * outputs), *bias = floats(outputs);
  float *w = floats(9 * inputs * outputs), *transformed = w;
  if (ck_bf16_winograd_weights(&conv)) {
    transformed = bytes(ck_bf16_winograd_weights(&conv));
    ck_bf16_winograd_transform(&conv, w, transformed);
  }
  ck_bf16_winograd_forward(&conv, x, transformed, bias, y, y, bytes(ck_bf16_winograd_forward_workspace(&conv)));
  if (transformed != w) ck_bf16_winograd_transform_backward(&conv, w, transformed);
  ck_bf16_winograd_backward_data(
    &conv, y, transformed, NULL, x, bytes(ck_bf16_winograd_backward_data_workspace(&conv)));
  ck_bf16_winograd_backward_weights(&conv, x, y, w, bytes(ck_bf16_winograd_backward_weights_workspace(&conv)));

  for (long kernel = 1; kernel <= 3; kernel += 2)
    for (long stride = 1; stride <= 2; stride++) bf16_direct(samples, inputs, outputs, height, width, kernel, stride);
  release("bf16");
}

static void attention(
  long samples, long heads, long channels, long queries, long keys, ck_format format, int rounds) {
  ck_attention shape = {samples, heads, channels, queries, keys, 0.3f, format, 0, 0, 0, 0, rounds};
  long width = heads * channels;
  if (format == CK_BLOCKED) width = (width + 15) / 16 * 16;
  long n = samples * width * queries, m = samples * width * keys;
  float *q = floats(n), *k = floats(m), *v = floats(m), *o = floats(n), *dO = floats(n);
  float *dq = floats(n), *dk = floats(m), *dv = floats(m);
  float *log_sum_exp = floats(samples * heads * queries);
  ck_attention_forward(&shape, q, k, v, o, log_sum_exp, workspace_of(ck_attention_forward_workspace(&shape)));
  ck_attention_backward(
    &shape, q, k, v, o, log_sum_exp, dO, dq, dk, dv, workspace_of(ck_attention_backward_workspace(&shape)));
  // On AMX a head of a blocked tensor is made of whole blocks.
  if (ck_amx_available() && (format == CK_PLAIN || channels % 16 == 0)) {
    ck_amx_attention_forward(&shape, q, k, v, o, log_sum_exp, scratch_of(ck_amx_attention_forward_scratch(&shape)));
    ck_amx_attention_backward(
      &shape, q, k, v, o, log_sum_exp, dO, dq, dk, dv, scratch_of(ck_amx_attention_backward_scratch(&shape)));
  }
  float *rows = floats(samples * keys), *out = floats(samples * keys);
  ck_softmax(rows, out, samples, keys, 1);
  release("attention");
}

/// Forward with and without prologue, bias and residual; both gradients.
static void amx_convolution_of(struct ck_conv conv) {
  if (!ck_amx_conv_supported(&conv)) {
    fprintf(stderr, "check-memory: AMX convolution %ld×%ld to %ld is not supported\n", conv.H, conv.W, conv.Co);
    exit(1);
  }
  long samples = conv.N, inputs = conv.Ci, outputs = conv.Co, kernel = conv.K, padding = conv.pad_low + conv.pad_high;
  long rows = (conv.H + padding - kernel) / conv.stride + 1, columns = (conv.W + padding - kernel) / conv.stride + 1;
  long count = samples * inputs * conv.H * conv.W;
  float *x = floats(count), *y = floats(samples * outputs * rows * columns), *dx = floats(count);
  float *w = floats(outputs * inputs * kernel * kernel), *bias = floats(outputs);
  struct ck_conv_prologue prologue = {floats(samples * inputs), floats(samples * inputs), 1};
  char *packed = before_a_guard(ck_amx_conv_forward_weights_size(&conv));
  char *scratch = scratch_of(ck_amx_conv_forward_scratch(&conv));
  ck_amx_conv_pack_forward(&conv, w, packed);
  ck_amx_conv_forward(&conv, y, x, NULL, packed, NULL, NULL, scratch);
  ck_amx_conv_forward(&conv, y, x, &prologue, packed, bias, y, scratch);
  packed = before_a_guard(ck_amx_conv_backward_weights_size(&conv));
  ck_amx_conv_pack_backward(&conv, w, packed);
  scratch = scratch_of(ck_amx_conv_backward_data_scratch(&conv));
  ck_amx_conv_backward_data(&conv, dx, y, packed, NULL, scratch);
  ck_amx_conv_backward_data(&conv, dx, y, packed, dx, scratch);
  scratch = scratch_of(ck_amx_conv_backward_weights_scratch(&conv));
  ck_amx_conv_backward_weights(&conv, w, bias, x, NULL, y, scratch);
  ck_amx_conv_backward_weights(&conv, w, NULL, x, &prologue, y, scratch);
  release("amx_convolution");
}

static void amx_convolution(
  long samples, long inputs, long outputs, long height, long width, long kernel, long stride, long low, long high) {
  for (int rounds = 0; rounds < 2; rounds++)
    amx_convolution_of(
      (struct ck_conv){samples, inputs, outputs, height, width, kernel, stride, low, high, rounds});
}

/// All four products of matrices that are as they are or transposed.
static void amx_product(long m, long n, long k) {
  for (int turned = 0; turned < 4; turned++) {
    int turn_a = turned & 1, turn_b = turned >> 1;
    float *a = floats(m * k), *b = floats(k * n), *c = floats(m * n);
    char *scratch = scratch_of(ck_amx_gemm_scratch(m, n, k));
    for (int beta = 0; beta < 2; beta++)
      ck_amx_gemm(
        turn_a, turn_b, m, n, k, 1.5f, a, turn_a ? m : k, b, turn_b ? k : n, (float)beta, c, n, beta, scratch);
    release("amx_product");
  }
}

static void amx(void) {
  amx_convolution(1, 16, 16, 4, 4, 3, 1, 1, 1);
  amx_convolution(2, 32, 48, 7, 7, 3, 1, 1, 1);
  amx_convolution(3, 48, 32, 8, 8, 3, 1, 1, 1);
  amx_convolution(1, 32, 64, 16, 16, 3, 1, 1, 1);
  amx_convolution(1, 32, 32, 5, 40, 3, 1, 1, 1);
  amx_convolution(2, 16, 16, 3, 17, 3, 1, 1, 1);
  amx_convolution(5, 64, 16, 1, 3, 3, 1, 1, 1);
  amx_convolution(1, 16, 32, 9, 1, 3, 1, 1, 1);
  amx_convolution(1, 16, 16, 70, 65, 3, 1, 1, 1);
  amx_convolution(2, 32, 48, 9, 5, 1, 1, 0, 0);
  amx_convolution(1, 48, 16, 16, 33, 1, 1, 0, 0);
  amx_convolution(1, 32, 16, 7, 9, 1, 2, 0, 0);
  amx_convolution(2, 32, 32, 8, 8, 3, 2, 0, 1);
  amx_convolution(1, 48, 32, 13, 28, 3, 2, 1, 1);
  amx_convolution(3, 16, 32, 7, 9, 3, 2, 1, 1);
  amx_convolution(2, 16, 16, 1, 6, 3, 2, 1, 1);
  amx_convolution(1, 16, 16, 5, 1, 3, 2, 1, 1);
  amx_convolution(1, 16, 16, 1, 1, 1, 2, 0, 0);
  amx_product(1, 1, 1);
  amx_product(1, 17, 33);
  amx_product(31, 33, 65);
  amx_product(100, 77, 3);
  amx_product(5, 512, 128);
}

static void elementwise(long n) {
  float *x = floats(n), *y = floats(n), *z = floats(n), *out = floats(n);
  for (int op = CK_NEG; op <= CK_CLAMP; op++) ck_unary_apply((ck_unary)op, x, out, n, 0.5f, 1);
  for (int op = CK_ADD; op <= CK_MIN; op++) ck_binary_apply((ck_binary)op, x, y, out, n);
  ck_accumulate(x, out, n);
  ck_fill(out, n, ck_sum_of_squares(x, n) > 0);
  ck_adam adam = {1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 1, 0.99, 0.1, 0.001};
  float *v = floats(n);
  ck_fill(v, n, 0);
  ck_adam_step(&adam, x, y, z, v, out, n);
  ck_random random = {1, 2, 3};
  uint32_t index[2] = {0, 7};
  float *noise = floats(2 * n);
  ck_random_normal(&random, index, 2, n, noise);
  ck_random_dropout_mask(&random, index, 2, n, 0.5f, noise);
  release("elementwise");
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
    ck_average_pool(x, small, planes, height, width, factor, (ck_format)is_blocked);
    ck_channel_sums(x, floats(channels), samples, channels, pixels, is_blocked);
  }
  float *other = floats(count), *wide = floats(2 * count);
  long shape[4] = {samples, channels, height, width}, permutation[4] = {0, 2, 3, 1};
  long strides[4] = {channels * pixels, pixels, width, 1};
  ck_transpose(plain, other, 4, shape, permutation);
  ck_gather_strided(plain, strides, other, 4, shape);
  ck_copy_rows(plain, channels * pixels, wide, 2 * channels * pixels, samples, channels * pixels);
  long per_channel[4] = {0, 1, 0, 0};
  ck_binary_broadcast(CK_MUL, plain, strides, floats(channels), per_channel, other, 4, shape);
  ck_sum_axes(plain, strides, 4, shape, (int[]){1, 0, 1, 0}, floats(channels * width));
  ck_sum_axes(plain, strides, 4, shape, (int[]){0, 1, 0, 1}, floats(samples * height));
  ck_sum_axes(plain, strides, 4, shape, (int[]){0, 0, 1, 1}, floats(samples * channels));
  release("layout");
}

int main(int count, char **arguments) {
  (void)arguments;
  says_values = count > 1;
  // Values are compared with those of processors without it.
  int rounds_too = !says_values && ck_bf16_available();
  for (int threads = 1; threads <= 3; threads++) {
    ck_set_threads(threads);
    for (int format = CK_PLAIN; format <= CK_BLOCKED; format++) {
      norm(2, 32, 49, 4, (ck_format)format);
      norm(1, 48, 33, 1, (ck_format)format);
      norm(3, 10, 5, 5, (ck_format)format);
      norm(2, 96, 1, 4, (ck_format)format);
      for (int rounds = 0; rounds <= rounds_too; rounds++) {
        attention(2, 2, 16, 20, 33, (ck_format)format, rounds);
        attention(1, 3, 5, 7, 1, (ck_format)format, rounds);
        attention(1, 1, 48, 130, 130, (ck_format)format, rounds);
      }
    }
    winograd(2, 32, 48, 7, 9);
    winograd(1, 16, 16, 1, 1);
    winograd(3, 48, 32, 8, 8);
    winograd(1, 16, 64, 28, 5);
    winograd(1, 80, 96, 7, 8);
    winograd(2, 288, 48, 9, 13);
    winograd(3, 96, 80, 25, 20);
    thin(2, 32, 1, 28, 28);
    thin(1, 16, 3, 5, 7);
    thin(1, 48, 2, 3, 1500);
    direct(2, 32, 48, 9, 7, 1, 1);
    direct(1, 48, 32, 13, 12, 1, 1);
    direct(2, 16, 32, 9, 10, 3, 2);
    direct(1, 3, 32, 9, 10, 3, 1);
    direct(2, 32, 5, 9, 10, 3, 1);
    direct(1, 6, 20, 8, 7, 4, 3);
    matmul(0, 0, 5, 37, 45);
    matmul(1, 0, 33, 64, 16);
    matmul(0, 1, 64, 100, 129);
    matmul(1, 1, 3, 32, 32);
    linear(1, 64, 128);
    linear(5, 37, 45);
    linear(64, 100, 129);
    if (rounds_too) {
      bf16(2, 32, 48, 7, 9);
      bf16(1, 16, 16, 1, 1);
      bf16(3, 80, 112, 8, 8);
      bf16(2, 32, 48, 27, 25);
      bf16(1, 16, 64, 28, 5);
      bf16(2, 128, 144, 9, 7);
    }
    elementwise(1);
    elementwise(64);
    elementwise(1003);
    elementwise(20011);  // enough for all threads
    layout(2, 20, 5, 7, 2);
    layout(3, 32, 6, 6, 3);
    layout(1, 1, 1, 1, 2);
    layout(2, 16, 20, 17, 2);
    layout(3, 36, 19, 23, 2);  // enough for all threads
    if (ck_amx_available()) amx();
  }
  puts(ck_amx_available() ? "every kernel ran" : "every kernel ran but those on AMX, which is not there");
  return 0;
}
