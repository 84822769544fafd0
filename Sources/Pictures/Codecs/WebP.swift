import CWebP
import Files

/// WebP, with and without loss; of an animation the first frame.
enum WebP {
  static func header(_ bytes: [UInt8], name: String) throws(DataError) -> StoredImage {
    var features = WebPBitstreamFeatures()
    let status = cwebp_features(bytes, bytes.count, &features)
    guard status == VP8_STATUS_OK else { throw damaged(name, status) }
    let pixels = Int(features.width) * Int(features.height)
    // Without loss (2) and in animations, which may hold either, all pixels come at once; transparency is stored without loss.
    let isWhole = features.format != 1 || features.has_alpha != 0
    return StoredImage(
      format: .webp, width: Int(features.width), height: Int(features.height), channels: 3,
      memory: isWhole ? 4 * pixels : 0)
  }

  /// Hands the rows on, from the top; decodes no more than `stored` asks for.
  static func decode(
    _ bytes: [UInt8], _ stored: StoredImage, name: String, _ onRow: (UnsafeBufferPointer<UInt8>) -> Void
  ) throws(DataError) {
    var failure: DataError?
    bytes.withUnsafeBufferPointer { bytes in
      do throws(DataError) {
        var features = WebPBitstreamFeatures()
        let status = cwebp_features(bytes.baseAddress, bytes.count, &features)
        guard status == VP8_STATUS_OK else { throw damaged(name, status) }
        if features.has_animation != 0 {
          try decodeFirstFrame(bytes, features, stored, name: name, onRow)
        } else {
          let pixels = try rgba(bytes, features, width: stored.width, height: stored.height, name: name)
          handOn(pixels, width: stored.width, at: (0, 0), on: stored, onRow)
        }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }

  /// An animation's frame covers a part of the canvas; the rest is white.
  private static func decodeFirstFrame(
    _ bytes: UnsafeBufferPointer<UInt8>, _ canvas: WebPBitstreamFeatures, _ stored: StoredImage, name: String,
    _ onRow: (UnsafeBufferPointer<UInt8>) -> Void
  ) throws(DataError) {
    var data = WebPData(bytes: bytes.baseAddress, size: bytes.count)
    guard let mux = cwebp_mux_open(&data) else { throw damaged(name, VP8_STATUS_BITSTREAM_ERROR) }
    defer { WebPMuxDelete(mux) }
    var frame = WebPMuxFrameInfo()
    guard WebPMuxGetFrame(mux, 1, &frame) == WEBP_MUX_OK else { throw damaged(name, VP8_STATUS_BITSTREAM_ERROR) }
    defer { WebPDataClear(&frame.bitstream) }
    let picture = UnsafeBufferPointer(start: frame.bitstream.bytes, count: frame.bitstream.size)
    var features = WebPBitstreamFeatures()
    let status = cwebp_features(picture.baseAddress, picture.count, &features)
    guard status == VP8_STATUS_OK else { throw damaged(name, status) }
    guard features.has_animation == 0, frame.x_offset >= 0, frame.y_offset >= 0,
      Int(frame.x_offset) + Int(features.width) <= Int(canvas.width),
      Int(frame.y_offset) + Int(features.height) <= Int(canvas.height)
    else { throw damaged(name, VP8_STATUS_BITSTREAM_ERROR) }
    // Everything shrinks as the canvas does.
    func scaled(_ length: Int32, _ from: Int32, _ to: Int) -> Int { max(1, Int(length) * to / Int(from)) }
    let width = scaled(features.width, canvas.width, stored.width)
    let height = scaled(features.height, canvas.height, stored.height)
    let x = min(Int(frame.x_offset) * stored.width / Int(canvas.width), stored.width - width)
    let y = min(Int(frame.y_offset) * stored.height / Int(canvas.height), stored.height - height)
    let pixels = try rgba(picture, features, width: width, height: height, name: name)
    handOn(pixels, width: width, at: (x, y), on: stored, onRow)
  }

  private static func rgba(
    _ bytes: UnsafeBufferPointer<UInt8>, _ features: WebPBitstreamFeatures, width: Int, height: Int, name: String
  ) throws(DataError) -> [UInt8] {
    var config = WebPDecoderConfig()
    guard cwebp_decoder_start(&config) != 0 else { throw damaged(name, VP8_STATUS_INVALID_PARAM) }
    // Asked for the size that it has, libwebp would upsample colours less well.
    config.options.use_scaling = (width, height) == (Int(features.width), Int(features.height)) ? 0 : 1
    config.options.scaled_width = Int32(width)
    config.options.scaled_height = Int32(height)
    config.output.colorspace = MODE_RGBA
    config.output.is_external_memory = 1
    var status = VP8_STATUS_OK
    let pixels = [UInt8](unsafeUninitializedCapacity: 4 * width * height) { buffer, count in
      config.output.u.RGBA.rgba = buffer.baseAddress
      config.output.u.RGBA.stride = Int32(4 * width)
      config.output.u.RGBA.size = 4 * width * height
      status = WebPDecode(bytes.baseAddress, bytes.count, &config)
      WebPFreeDecBuffer(&config.output)
      // What a damaged file leaves unwritten is not looked at.
      count = status == VP8_STATUS_OK ? 4 * width * height : 0
    }
    guard status == VP8_STATUS_OK else { throw damaged(name, status) }
    return pixels
  }

  /// Rows of the whole canvas, transparent pixels over white.
  private static func handOn(
    _ rgba: [UInt8], width: Int, at corner: (x: Int, y: Int), on canvas: StoredImage,
    _ onRow: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    let height = rgba.count / (4 * width)
    for y in 0..<canvas.height {
      var row = [UInt8](repeating: 255, count: 3 * canvas.width)
      if (corner.y..<corner.y + height).contains(y) {
        for x in 0..<width {
          let pixel = 4 * ((y - corner.y) * width + x)
          for c in 0..<3 { row[3 * (corner.x + x) + c] = overWhite(rgba[pixel + c], Int(rgba[pixel + 3])) }
        }
      }
      row.withUnsafeBufferPointer(onRow)
    }
  }

  private static func damaged(_ name: String, _ status: VP8StatusCode) -> DataError {
    let reason =
      switch status {
      case VP8_STATUS_OUT_OF_MEMORY: "out of memory"
      case VP8_STATUS_NOT_ENOUGH_DATA: "the file ends too early"
      case VP8_STATUS_UNSUPPORTED_FEATURE: "a feature that libwebp does not know"
      default: "not what the format allows"
      }
    return DataError(.corrupt, file: name, "damaged WebP: \(reason)", remedy: "replace or remove it")
  }

  // MARK: Writing

  /// - Parameter quality: 1…99, or 100 for no loss.
  static func encode(_ image: Image8, quality: Int) throws(DataError) -> [UInt8] {
    precondition((1...100).contains(quality), "a quality of \(quality), where 1…100 are possible")
    func failure(_ problem: String) -> DataError {
      DataError(.unsupported, file: "image", "\(image.width)×\(image.height) cannot be written as WebP: \(problem)")
    }
    guard max(image.width, image.height) <= Int(WEBP_MAX_DIMENSION) else {
      throw failure("its limit is \(WEBP_MAX_DIMENSION) pixels each way")
    }
    let rgb = image.converted(channels: 3).bytes
    let (width, height) = (Int32(image.width), Int32(image.height))
    var out: UnsafeMutablePointer<UInt8>?
    let count =
      quality == 100
      ? WebPEncodeLosslessRGB(rgb, width, height, 3 * width, &out)
      : WebPEncodeRGB(rgb, width, height, 3 * width, Float(quality), &out)
    guard count > 0, let out else { throw failure("out of memory") }
    defer { WebPFree(out) }
    return Array(UnsafeBufferPointer(start: out, count: count))
  }
}
