import CCodecs
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The formats that are read, told apart by their first bytes and never by the file's name.
public enum ImageFormat: Sendable {
  case png
  case jpeg

  public init?(_ bytes: [UInt8]) {
    if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
      self = .png
    } else if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
      self = .jpeg
    } else {
      return nil
    }
  }

  fileprivate static func known(_ bytes: [UInt8], name: String) throws -> ImageFormat {
    if let format = ImageFormat(bytes) { return format }
    if bytes.isEmpty { throw DataError(.corrupt, file: name, "the file is empty", remedy: "replace or remove it") }
    throw DataError(.unsupported, file: name, "neither PNG nor JPEG", remedy: "convert it to PNG or JPEG")
  }
}

/// What an image's header says, read without decoding it.
public struct ImageHeader: Sendable, Equatable {
  public let format: ImageFormat
  public let width: Int
  public let height: Int
  /// 1 for grey, 3 for RGB.
  public let channels: Int

  /// A header that asks for more pixels than this is refused before anything is allocated.
  public static let maximumPixels = 64 << 20

  /// - Parameters:
  ///   - bytes: the file, or enough of its beginning.
  ///   - name: the file's name for error messages.
  /// - Throws: ``DataError`` naming the file.
  public init(_ bytes: [UInt8], name: String) throws {
    let format = try ImageFormat.known(bytes, name: name)
    let stored = try Self(stored: bytes, format: format, name: name)
    let lies = format == .jpeg && EXIF.orientation(bytes) >= 5
    self.format = format
    (width, height) = lies ? (stored.height, stored.width) : (stored.width, stored.height)
    channels = stored.channels
  }

  /// As the pixels are stored, before EXIF turns them.
  fileprivate init(stored bytes: [UInt8], format: ImageFormat, scaleDenominator: UInt32 = 1, name: String) throws {
    var size = ccodecs_size()
    try Codec.call(name, "damaged \(format)") { error in
      switch format {
      case .png: ccodecs_png_size(bytes, bytes.count, &size, error)
      case .jpeg: ccodecs_jpeg_size(bytes, bytes.count, scaleDenominator, &size, error)
      }
    }
    // Dimensions are 31 bits at most: their product fits an Int.
    guard size.width > 0, size.height > 0, Int(size.width) * Int(size.height) <= Self.maximumPixels else {
      throw DataError(
        .tooLarge, file: name,
        "\(size.width)×\(size.height) pixels, where \(Self.maximumPixels >> 20) megapixels are the limit",
        remedy: "shrink it first")
    }
    self.format = format
    (width, height, channels) = (Int(size.width), Int(size.height), Int(size.channels))
  }
}

extension Image8 {
  /// Decodes PNG (any depth and colour type; alpha over white) or JPEG (grey, YCbCr, CMYK; turned as its EXIF says).
  ///
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - name: the file's name for error messages.
  ///   - side: how large the shorter side will be in the end, if known. A JPEG more than twice as large is decoded at a half,
  ///     a quarter or an eighth of its size, which is much faster and all but as good.
  /// - Throws: ``DataError`` naming the file.
  public init(decoding bytes: [UInt8], name: String, shrinkingTo side: Int? = nil) throws {
    let format = try ImageFormat.known(bytes, name: name)
    var header = try ImageHeader(stored: bytes, format: format, name: name)
    var denominator: UInt32 = 1
    if header.format == .jpeg, let side {
      while denominator < 8, min(header.width, header.height) >= 4 * side * Int(denominator) { denominator *= 2 }
      header = try ImageHeader(stored: bytes, format: .jpeg, scaleDenominator: denominator, name: name)
    }
    let count = header.width * header.height * header.channels
    let pixels = try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      try Codec.call(name, "damaged \(header.format)") { error in
        switch header.format {
        case .png: ccodecs_png_decode(bytes, bytes.count, buffer.baseAddress, count, error)
        case .jpeg: ccodecs_jpeg_decode(bytes, bytes.count, denominator, buffer.baseAddress, count, error)
        }
      }
      initialized = count
    }
    self.init(width: header.width, height: header.height, channels: header.channels, bytes: pixels)
    if header.format == .jpeg { self = turned(by: EXIF.orientation(bytes)) }
  }

  /// Reads and decodes a file.
  public init(contentsOf url: URL) throws {
    try self.init(decoding: FileBytes.read(url.path), name: url.path)
  }

  /// - Parameter level: zlib's, 0 (fast) … 9 (small).
  public func png(level: Int = 6) throws -> [UInt8] {
    try Codec.encode("PNG") { out, count, error in
      ccodecs_png_encode(bytes, size, Int32(level), out, count, error)
    }
  }

  /// - Parameter quality: 1…100.
  public func jpeg(quality: Int = 90) throws -> [UInt8] {
    try Codec.encode("JPEG") { out, count, error in
      ccodecs_jpeg_encode(bytes, size, Int32(quality), out, count, error)
    }
  }

  /// Writes a PNG file, whole or not at all.
  public func writePNG(to url: URL) throws { try AtomicFile.write(png(), to: url) }

  private var size: ccodecs_size {
    ccodecs_size(width: UInt32(width), height: UInt32(height), channels: UInt32(channels))
  }
}

/// Turns the C codecs' messages into errors.
private enum Codec {
  static func call(_ name: String, _ problem: String, _ body: (UnsafeMutablePointer<CChar>) -> Int32) throws {
    var message = [CChar](repeating: 0, count: Int(CCODECS_ERROR_LENGTH))
    let status = message.withUnsafeMutableBufferPointer { buffer in buffer.baseAddress.map(body) ?? 1 }
    guard status == 0 else {
      let text = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw DataError(.corrupt, file: name, "\(problem): \(text)", remedy: "replace or remove it")
    }
  }

  static func encode(
    _ format: String,
    _ body: (
      UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>, UnsafeMutablePointer<Int>, UnsafeMutablePointer<CChar>
    ) -> Int32
  ) throws -> [UInt8] {
    var out: UnsafeMutablePointer<UInt8>?
    var count = 0
    try call("image", "cannot be written as \(format)") { body(&out, &count, $0) }
    defer { free(out) }
    return Array(UnsafeBufferPointer(start: out, count: count))
  }
}
