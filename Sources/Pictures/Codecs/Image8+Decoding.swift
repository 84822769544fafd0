import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension Image8 {
  /// Decodes PNG (any depth and colour type), JPEG (grey, YCbCr, CMYK; turned as its EXIF says), WebP, GIF (of an animation the
  /// first frame) or BMP (8-bit palette, 24 and 32 bits, uncompressed). What is transparent lies over white.
  ///
  /// - Parameters:
  ///   - bytes: The whole file.
  ///   - name: The file's name for error messages.
  ///   - side: How large the shorter side will be in the end, if known. A JPEG or WebP more than twice as large is decoded at a
  ///     half, a quarter or an eighth of its size, which is much faster and all but as good.
  /// - Throws: ``DataError`` naming the file.
  public init(decoding bytes: [UInt8], name: String, shrinkingTo side: Int? = nil) throws {
    let (stored, denominator) = try Self.stored(bytes, name: name, shrinkingTo: side)
    let count = stored.width * stored.height * stored.channels
    let pixels = try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      try Self.decode(bytes, stored, denominator: denominator, name: name) { row in
        filled = UnsafeMutableBufferPointer(rebasing: buffer[filled...]).update(fromContentsOf: row) + filled
      }
    }
    self.init(width: stored.width, height: stored.height, channels: stored.channels, bytes: pixels)
    if stored.format == .jpeg { self = turned(by: EXIF.orientation(bytes)) }
  }

  /// The middle square at `side` × `side`, with so many channels: how a picture of any size becomes an example.
  ///
  /// The same as decoding, converting and ``centreSquare(side:filter:)``, but rows are filtered as they come: a PNG of 64
  /// megapixels takes no more memory than a band of its rows.
  public init(decoding bytes: [UInt8], name: String, square side: Int, channels: Int) throws {
    let (stored, denominator) = try Self.stored(bytes, name: name, shrinkingTo: side)
    // A picture that lies on its side is turned first.
    guard stored.format != .jpeg || EXIF.orientation(bytes) == 1 else {
      self = try Image8(decoding: bytes, name: name, shrinkingTo: side).converted(channels: channels)
        .centreSquare(side: side)
      return
    }
    var reducer = SquareReducer(
      width: stored.width, height: stored.height, from: stored.channels, to: channels, side: side)
    try Self.decode(bytes, stored, denominator: denominator, name: name) { reducer.add($0) }
    self = reducer.result
  }

  /// Reads and decodes a file.
  ///
  /// - Throws: ``DataError`` or `FileError` naming the file.
  public init(contentsOf url: URL) throws {
    try self.init(decoding: FileBytes.read(url.path, limit: ImageFormat.largestFile), name: url.path)
  }

  /// The image as it will be decoded, and by how much smaller than it is.
  private static func stored(
    _ bytes: [UInt8], name: String, shrinkingTo side: Int?
  ) throws -> (StoredImage, denominator: Int) {
    let full = try StoredImage(bytes, name: name)
    guard let side, full.format == .jpeg || full.format == .webp else { return (full, 1) }
    var denominator = 1
    while denominator < 8, min(full.width, full.height) >= 4 * side * denominator { denominator *= 2 }
    var smaller = full
    smaller.width = (full.width + denominator - 1) / denominator
    smaller.height = (full.height + denominator - 1) / denominator
    return (smaller, denominator)
  }

  /// Hands the rows on, from the top.
  private static func decode(
    _ bytes: [UInt8], _ stored: StoredImage, denominator: Int, name: String,
    _ onRow: (UnsafeBufferPointer<UInt8>) -> Void
  ) throws {
    switch stored.format {
    case .png, .jpeg: try CCodec.decode(bytes, stored, denominator: denominator, name: name, onRow)
    case .webp: try WebP.decode(bytes, stored, name: name, onRow)
    case .gif: try GIF.decode(bytes, stored, name: name, onRow)
    case .bmp: try BMP(bytes, name: name).decode(name: name, onRow)
    }
  }
}
