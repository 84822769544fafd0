import Files

/// The formats that are read, told apart by their first bytes and never by the file's name.
public enum ImageFormat: Sendable, CaseIterable {
  case png
  case jpeg
  case webp
  case gif
  case bmp

  /// From a file's first bytes; twelve are enough.
  public init?(_ bytes: [UInt8]) {
    if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
      self = .png
    } else if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
      self = .jpeg
    } else if bytes.starts(with: "RIFF".utf8), bytes.dropFirst(8).starts(with: "WEBP".utf8) {
      self = .webp
    } else if bytes.starts(with: "GIF87a".utf8) || bytes.starts(with: "GIF89a".utf8) {
      self = .gif
    } else if bytes.starts(with: "BM".utf8) {
      self = .bmp
    } else {
      return nil
    }
  }

  /// From a file's name: what it should hold.
  public init?(fileName: String) {
    switch FileTree.suffix(of: fileName) {
    case ".png": self = .png
    case ".jpg", ".jpeg": self = .jpeg
    case ".webp": self = .webp
    case ".gif": self = .gif
    case ".bmp": self = .bmp
    default: return nil
    }
  }

  /// As it is written in text: `PNG`, `WebP`.
  public var name: String {
    switch self {
    case .png: "PNG"
    case .jpeg: "JPEG"
    case .webp: "WebP"
    case .gif: "GIF"
    case .bmp: "BMP"
    }
  }

  /// The bytes that a picture's file may have: 128 MiB.
  package static let largestFile = 128 << 20

  /// - Throws: ``DataError`` where it is none of these.
  static func known(_ bytes: [UInt8], name: String) throws(DataError) -> ImageFormat {
    if let format = ImageFormat(bytes) { return format }
    if bytes.isEmpty { throw DataError(.corrupt, file: name, "the file is empty", remedy: "replace or remove it") }
    throw DataError(
      .unsupported, file: name, "is neither \(allCases.dropLast().map(\.name).joined(separator: ", ")) nor BMP",
      remedy: "convert it to PNG or JPEG")
  }
}

/// What an image's header says, read without decoding it.
public struct ImageHeader: Sendable, Equatable {
  /// Told by the first bytes.
  public let format: ImageFormat
  /// As the picture is seen: where EXIF turns it by a quarter, that is done.
  public let width: Int
  /// As the picture is seen: where EXIF turns it by a quarter, that is done.
  public let height: Int
  /// 1 for grey, 3 for RGB.
  public let channels: Int

  /// A header that asks for more pixels than this is refused before anything is allocated.
  public static let maximumPixels = 64 << 20
  /// Formats that are not decoded row by row need memory for the whole picture. One that needs more is refused.
  static let maximumMemory = 128 << 20

  /// - Parameters:
  ///   - bytes: The file, or enough of its beginning.
  ///   - name: The file's name for error messages.
  /// - Throws: ``DataError`` naming the file.
  public init(_ bytes: [UInt8], name: String) throws {
    let stored = try StoredImage(bytes, name: name)
    let lies = stored.format == .jpeg && EXIF.orientation(bytes) >= 5
    format = stored.format
    (width, height) = lies ? (stored.height, stored.width) : (stored.width, stored.height)
    channels = stored.channels
  }
}

/// An image as its file stores it, before EXIF turns it.
struct StoredImage {
  let format: ImageFormat
  var width: Int
  var height: Int
  /// 1 for grey, 3 for RGB.
  var channels: Int
  /// The bytes that decoding takes besides the result and single rows.
  var memory = 0

  init(format: ImageFormat, width: Int, height: Int, channels: Int, memory: Int = 0) {
    (self.format, self.width, self.height, self.channels) = (format, width, height, channels)
    self.memory = memory
  }

  /// Reads the header, and refuses what is too large.
  init(_ bytes: [UInt8], name: String) throws {
    let format = try ImageFormat.known(bytes, name: name)
    let full: StoredImage =
      switch format {
      case .png, .jpeg: try CCodec.header(bytes, format, name: name)
      case .webp: try WebP.header(bytes, name: name)
      case .gif: try GIF.header(bytes, name: name)
      case .bmp: try BMP(bytes, name: name).stored
      }
    try Self.check(full.width, full.height, name: name)
    guard full.memory <= ImageHeader.maximumMemory else {
      throw DataError(
        .tooLarge, file: name,
        "\(full.width)×\(full.height) pixels in a kind of \(format.name) that is decoded whole, for which "
          + "\(Text.mebibytes(full.memory)) are needed and \(ImageHeader.maximumMemory >> 20) MiB are the limit",
        remedy: "shrink it first, or save it neither interlaced nor progressive, as PNG or JPEG")
    }
    self = full
  }

  /// Dimensions have 31 bits at most: their product fits an Int.
  static func check(_ width: Int, _ height: Int, name: String) throws(DataError) {
    guard width > 0, height > 0, width * height <= ImageHeader.maximumPixels else {
      throw DataError(
        .tooLarge, file: name,
        "\(width)×\(height) pixels, where \(ImageHeader.maximumPixels >> 20) megapixels are the limit",
        remedy: "shrink it first")
    }
  }
}
