import CCodecs
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension Image8 {
  /// The formats that single pictures are written in.
  public enum FileFormat: String, Sendable, CaseIterable {
    case png
    case jpeg
    case webp

    /// From a file's name: `.png`, `.jpg` or `.jpeg`, `.webp`.
    public init?(fileName: String) {
      switch ImageFormat(fileName: fileName) {
      case .png: self = .png
      case .jpeg: self = .jpeg
      case .webp: self = .webp
      default: return nil
      }
    }
  }

  /// The bytes of a file.
  ///
  /// - Parameter quality: 1…100, of formats that lose something. A WebP of 100 is without loss; PNG always is.
  /// - Throws: ``DataError`` where the format cannot hold an image of this size.
  public func encoded(as format: FileFormat, quality: Int = 90) throws -> [UInt8] {
    switch format {
    case .png: try png()
    case .jpeg: try jpeg(quality: quality)
    case .webp: try WebP.encode(self, quality: quality)
    }
  }

  /// Writes the format that the file's name asks for, whole or not at all.
  ///
  /// - Throws: ``DataError`` where it asks for none that is written, or `FileError`.
  public func write(to url: URL, quality: Int = 90) throws {
    guard let format = FileFormat(fileName: url.lastPathComponent) else {
      throw DataError(.unsupported, file: url.path, "names no picture format", remedy: "end it in .png, .jpg or .webp")
    }
    try AtomicFile.write(encoded(as: format, quality: quality), to: url)
  }

  /// Writes a PNG file, whole or not at all.
  public func writePNG(to url: URL) throws { try AtomicFile.write(png(), to: url) }

  /// - Parameter level: zlib's, 0 (fast) … 9 (small).
  public func png(level: Int = 6) throws -> [UInt8] {
    try CCodec.encode(.png) { out, count, error in ccodecs_png_encode(bytes, size, Int32(level), out, count, error) }
  }

  /// - Parameter quality: 1…100.
  public func jpeg(quality: Int = 90) throws -> [UInt8] {
    precondition((1...100).contains(quality), "a quality of \(quality), where 1…100 are possible")
    return try CCodec.encode(.jpeg) { out, count, error in
      ccodecs_jpeg_encode(bytes, size, Int32(quality), out, count, error)
    }
  }

  private var size: ccodecs_size {
    ccodecs_size(width: UInt32(width), height: UInt32(height), channels: UInt32(channels), memory: 0)
  }
}
