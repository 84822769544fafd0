#pragma once
#include <webp/decode.h>
#include <webp/encode.h>
#include <webp/mux.h>

// These carry their ABI version in a macro or an inline function.
static inline int cwebp_config_start(WebPConfig *config) { return WebPConfigInit(config); }
static inline int cwebp_picture_start(WebPPicture *picture) { return WebPPictureInit(picture); }
static inline int cwebp_animation_options_start(WebPAnimEncoderOptions *options) {
  return WebPAnimEncoderOptionsInit(options);
}
static inline WebPAnimEncoder *cwebp_animation_start(int width, int height, const WebPAnimEncoderOptions *options) {
  return WebPAnimEncoderNew(width, height, options);
}
static inline VP8StatusCode cwebp_features(const uint8_t *bytes, size_t count, WebPBitstreamFeatures *features) {
  return WebPGetFeatures(bytes, count, features);
}
static inline int cwebp_decoder_start(WebPDecoderConfig *config) { return WebPInitDecoderConfig(config); }
static inline WebPMux *cwebp_mux_open(const WebPData *data) { return WebPMuxCreate(data, 0); }
