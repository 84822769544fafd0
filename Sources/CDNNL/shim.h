// oneDNN's C API, versions 2 and 3 behind one set of functions.
//
// Version 3 made memory descriptors opaque and merged operation descriptors into primitive descriptors. Here both are
// heap objects, and a convolution is made by one call whatever the version.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<oneapi/dnnl/dnnl.h>)
#include <oneapi/dnnl/dnnl.h>
#else
#include <dnnl.h>
#endif

#define DDPM_DNNL_V3 (DNNL_VERSION_MAJOR >= 3)

#if DDPM_DNNL_V3
typedef const_dnnl_memory_desc_t ddpm_dnnl_const_desc;
#else
typedef const dnnl_memory_desc_t *ddpm_dnnl_const_desc;
#endif

// MARK: Memory descriptors: FP32, of a given format, or of any that the primitive prefers.

typedef enum { ddpm_dnnl_any, ddpm_dnnl_plain_4d, ddpm_dnnl_blocked_4d, ddpm_dnnl_kernel_16i16o, ddpm_dnnl_plain_1d } ddpm_dnnl_format;

typedef struct ddpm_dnnl_desc_s {
  dnnl_memory_desc_t value;
} *ddpm_dnnl_desc;

static inline ddpm_dnnl_const_desc ddpm_dnnl_borrow(ddpm_dnnl_desc desc) {
#if DDPM_DNNL_V3
  return desc ? desc->value : NULL;
#else
  return desc ? &desc->value : NULL;
#endif
}

static inline ddpm_dnnl_desc ddpm_dnnl_desc_create(int rank, const int64_t *dims, ddpm_dnnl_format format) {
  static const dnnl_format_tag_t tags[] = {
    dnnl_format_tag_any, dnnl_nchw, dnnl_nChw16c, dnnl_OIhw16i16o, dnnl_x,
  };
  ddpm_dnnl_desc desc = (ddpm_dnnl_desc)calloc(1, sizeof *desc);
  if (!desc) return NULL;
#if DDPM_DNNL_V3
  dnnl_status_t status = dnnl_memory_desc_create_with_tag(&desc->value, rank, dims, dnnl_f32, tags[format]);
#else
  dnnl_status_t status = dnnl_memory_desc_init_by_tag(&desc->value, rank, dims, dnnl_f32, tags[format]);
#endif
  if (status == dnnl_success) return desc;
  free(desc);
  return NULL;
}

static inline ddpm_dnnl_desc ddpm_dnnl_desc_copy(ddpm_dnnl_const_desc other) {
  ddpm_dnnl_desc desc = other ? (ddpm_dnnl_desc)calloc(1, sizeof *desc) : NULL;
  if (!desc) return NULL;
#if DDPM_DNNL_V3
  if (dnnl_memory_desc_clone(&desc->value, other) != dnnl_success) {
    free(desc);
    return NULL;
  }
#else
  desc->value = *other;
#endif
  return desc;
}

static inline void ddpm_dnnl_desc_destroy(ddpm_dnnl_desc desc) {
  if (!desc) return;
#if DDPM_DNNL_V3
  dnnl_memory_desc_destroy(desc->value);
#endif
  free(desc);
}

static inline size_t ddpm_dnnl_desc_size(ddpm_dnnl_desc desc) { return dnnl_memory_desc_get_size(ddpm_dnnl_borrow(desc)); }

static inline int ddpm_dnnl_desc_equal(ddpm_dnnl_desc a, ddpm_dnnl_desc b) {
  return dnnl_memory_desc_equal(ddpm_dnnl_borrow(a), ddpm_dnnl_borrow(b));
}

static inline dnnl_status_t ddpm_dnnl_memory_create(dnnl_memory_t *memory, ddpm_dnnl_desc desc, dnnl_engine_t engine, void *data) {
  return dnnl_memory_create(memory, ddpm_dnnl_borrow(desc), engine, data);
}

// MARK: Primitives

typedef struct {
  dnnl_primitive_t primitive;
  dnnl_primitive_desc_t desc;
} ddpm_dnnl_primitive;

static inline void ddpm_dnnl_primitive_destroy(ddpm_dnnl_primitive p) {
  if (p.primitive) dnnl_primitive_destroy(p.primitive);
  if (p.desc) dnnl_primitive_desc_destroy(p.desc);
}

static inline dnnl_status_t ddpm_dnnl_primitive_finish(ddpm_dnnl_primitive *out, dnnl_primitive_desc_t desc) {
  out->desc = desc;
  dnnl_status_t status = dnnl_primitive_create(&out->primitive, desc);
  if (status == dnnl_success) return status;
  dnnl_primitive_desc_destroy(desc);
  *out = (ddpm_dnnl_primitive){0};
  return status;
}

static inline ddpm_dnnl_desc ddpm_dnnl_primitive_query(ddpm_dnnl_primitive p, dnnl_query_t what) {
  return ddpm_dnnl_desc_copy(dnnl_primitive_desc_query_md(p.desc, what, 0));
}

static inline const char *ddpm_dnnl_primitive_name(ddpm_dnnl_primitive p) {
  const char *name = NULL;
  dnnl_primitive_desc_query(p.desc, dnnl_query_impl_info_str, 0, &name);
  return name ? name : "unknown";
}

// Attributes: the caller's scratchpad; with `accumulate`, the result is added to what the destination holds.
static inline dnnl_primitive_attr_t ddpm_dnnl_attributes(int accumulate) {
  dnnl_primitive_attr_t attributes = NULL;
  if (dnnl_primitive_attr_create(&attributes) != dnnl_success) return NULL;
  dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  if (accumulate) {
    dnnl_post_ops_t operations = NULL;
    dnnl_post_ops_create(&operations);
#if DDPM_DNNL_V3
    dnnl_post_ops_append_sum(operations, 1.f, 0, dnnl_data_type_undef);
#else
    dnnl_post_ops_append_sum(operations, 1.f);
#endif
    dnnl_primitive_attr_set_post_ops(attributes, operations);
    dnnl_post_ops_destroy(operations);
  }
  return attributes;
}

typedef enum { ddpm_dnnl_forward, ddpm_dnnl_backward_data, ddpm_dnnl_backward_weights } ddpm_dnnl_direction;

typedef struct {
  ddpm_dnnl_direction direction;
  int accumulate;
  ddpm_dnnl_desc source, weights, bias, destination;  // bias may be NULL
  int64_t strides[2], padding_before[2], padding_after[2];
} ddpm_dnnl_convolution;

// Makes a convolution; anything but dnnl_success means that this library has no such implementation.
static inline dnnl_status_t ddpm_dnnl_convolution_create(
  ddpm_dnnl_primitive *out, dnnl_engine_t engine, const ddpm_dnnl_convolution *c, dnnl_primitive_desc_t forward) {
  *out = (ddpm_dnnl_primitive){0};
  dnnl_primitive_attr_t attributes = ddpm_dnnl_attributes(c->accumulate);
  if (!attributes) return dnnl_out_of_memory;
  dnnl_primitive_desc_t desc = NULL;
  dnnl_status_t status;
  const dnnl_alg_kind_t algorithm = dnnl_convolution_direct;
  ddpm_dnnl_const_desc source = ddpm_dnnl_borrow(c->source), weights = ddpm_dnnl_borrow(c->weights), bias = ddpm_dnnl_borrow(c->bias),
                       destination = ddpm_dnnl_borrow(c->destination);
#if DDPM_DNNL_V3
  const int64_t dilation[2] = {0, 0};
  switch (c->direction) {
    case ddpm_dnnl_backward_data:
      status = dnnl_convolution_backward_data_primitive_desc_create(
        &desc, engine, algorithm, source, weights, destination, c->strides, dilation, c->padding_before, c->padding_after, forward, attributes);
      break;
    case ddpm_dnnl_backward_weights:
      status = dnnl_convolution_backward_weights_primitive_desc_create(
        &desc, engine, algorithm, source, weights, bias, destination, c->strides, dilation, c->padding_before, c->padding_after, forward,
        attributes);
      break;
    default:
      status = dnnl_convolution_forward_primitive_desc_create(
        &desc, engine, dnnl_forward_training, algorithm, source, weights, bias, destination, c->strides, dilation, c->padding_before, c->padding_after,
        attributes);
  }
#else
  dnnl_convolution_desc_t operation;
  switch (c->direction) {
    case ddpm_dnnl_backward_data:
      status = dnnl_convolution_backward_data_desc_init(
        &operation, algorithm, source, weights, destination, c->strides, c->padding_before, c->padding_after);
      break;
    case ddpm_dnnl_backward_weights:
      status = dnnl_convolution_backward_weights_desc_init(
        &operation, algorithm, source, weights, bias, destination, c->strides, c->padding_before, c->padding_after);
      break;
    default:
      status = dnnl_convolution_forward_desc_init(
        &operation, dnnl_forward_training, algorithm, source, weights, bias, destination, c->strides, c->padding_before, c->padding_after);
  }
  if (status == dnnl_success) status = dnnl_primitive_desc_create(&desc, &operation, attributes, engine, forward);
#endif
  dnnl_primitive_attr_destroy(attributes);
  return status == dnnl_success ? ddpm_dnnl_primitive_finish(out, desc) : status;
}

static inline dnnl_status_t ddpm_dnnl_reorder_create(ddpm_dnnl_primitive *out, dnnl_engine_t engine, ddpm_dnnl_desc from, ddpm_dnnl_desc to) {
  *out = (ddpm_dnnl_primitive){0};
  dnnl_primitive_attr_t attributes = ddpm_dnnl_attributes(0);
  if (!attributes) return dnnl_out_of_memory;
  dnnl_primitive_desc_t desc = NULL;
  dnnl_status_t status =
    dnnl_reorder_primitive_desc_create(&desc, ddpm_dnnl_borrow(from), engine, ddpm_dnnl_borrow(to), engine, attributes);
  dnnl_primitive_attr_destroy(attributes);
  return status == dnnl_success ? ddpm_dnnl_primitive_finish(out, desc) : status;
}
