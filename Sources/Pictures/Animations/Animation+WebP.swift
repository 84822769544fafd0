import CWebP

extension Animation {
  /// Animated WebP, without loss.
  func webp() throws -> [UInt8] {
    guard width <= Int(WEBP_MAX_DIMENSION), height <= Int(WEBP_MAX_DIMENSION) else {
      throw failure("WebP", "its limit is \(WEBP_MAX_DIMENSION) pixels each way")
    }
    var options = WebPAnimEncoderOptions()
    var config = WebPConfig()
    guard cwebp_animation_options_start(&options) != 0, cwebp_config_start(&config) != 0,
      WebPConfigLosslessPreset(&config, 4) != 0
    else { throw failure("WebP", "the library does not match its headers") }
    options.anim_params.loop_count = Int32(min(plays, 65_535))
    guard let encoder = cwebp_animation_start(Int32(width), Int32(height), &options) else {
      throw failure("WebP", "out of memory")
    }
    defer { WebPAnimEncoderDelete(encoder) }

    func message() -> String { WebPAnimEncoderGetError(encoder).map { String(cString: $0) } ?? "unknown error" }
    var time: Int32 = 0
    for (frame, delay) in zip(frames, delays) {
      var picture = WebPPicture()
      guard cwebp_picture_start(&picture) != 0 else { throw failure("WebP", "the library does not match its headers") }
      picture.use_argb = 1
      picture.width = Int32(width)
      picture.height = Int32(height)
      defer { WebPPictureFree(&picture) }
      let rgb = frame.converted(channels: 3).bytes
      guard WebPPictureImportRGB(&picture, rgb, Int32(3 * width)) != 0 else { throw failure("WebP", "out of memory") }
      guard WebPAnimEncoderAdd(encoder, &picture, time, &config) != 0 else { throw failure("WebP", message()) }
      time += Int32(min(delay, 1 << 20))
    }
    var data = WebPData()
    guard WebPAnimEncoderAdd(encoder, nil, time, nil) != 0, WebPAnimEncoderAssemble(encoder, &data) != 0 else {
      throw failure("WebP", message())
    }
    defer { WebPFree(UnsafeMutableRawPointer(mutating: data.bytes)) }
    return Array(UnsafeBufferPointer(start: data.bytes, count: data.size))
  }
}
