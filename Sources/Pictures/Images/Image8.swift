/// A picture of 8-bit samples, grey or RGB, rows from the top, channels last (height × width × channels).
public struct Image8: Sendable, Equatable {
  /// In pixels.
  public let width: Int
  /// In pixels.
  public let height: Int
  /// 1 for grey, 3 for RGB.
  public let channels: Int
  /// `bytes[(y · width + x) · channels + c]`
  public var bytes: [UInt8]

  /// - Parameters:
  ///   - channels: 1 for grey, 3 for RGB.
  ///   - bytes: height × width × channels, rows from the top.
  public init(width: Int, height: Int, channels: Int, bytes: [UInt8]) {
    precondition(channels == 1 || channels == 3, "an image has 1 or 3 channels, not \(channels)")
    precondition(width > 0 && height > 0, "an image of \(width)×\(height) has no pixels")
    precondition(
      bytes.count == width * height * channels,
      "\(bytes.count) bytes for a \(width)×\(height) image with \(channels) channels")
    self.width = width
    self.height = height
    self.channels = channels
    self.bytes = bytes
  }

  /// An image of one colour; a grey value fills every channel.
  public init(width: Int, height: Int, channels: Int, fill: UInt8 = 0) {
    self.init(
      width: width, height: height, channels: channels, bytes: .init(repeating: fill, count: width * height * channels))
  }

  /// From planes (channels × height × width), the order of tensors.
  public init(planes: some Collection<UInt8>, width: Int, height: Int, channels: Int) {
    precondition(planes.count == width * height * channels, "\(planes.count) bytes for \(channels)×\(height)×\(width)")
    let planes = Array(planes)
    var bytes = planes
    if channels > 1 {
      let area = width * height
      for c in 0..<channels {
        for i in 0..<area { bytes[i * channels + c] = planes[c * area + i] }
      }
    }
    self.init(width: width, height: height, channels: channels, bytes: bytes)
  }

  /// Channels × height × width, the order of tensors.
  public var planes: [UInt8] {
    guard channels > 1 else { return bytes }
    let area = width * height
    return [UInt8](unsafeUninitializedCapacity: bytes.count) { out, count in
      bytes.withUnsafeBufferPointer { pixels in
        for c in 0..<channels {
          for i in 0..<area { out[c * area + i] = pixels[i * channels + c] }
        }
      }
      count = bytes.count
    }
  }

  /// One sample.
  public subscript(x: Int, y: Int, channel: Int) -> UInt8 {
    get { bytes[(y * width + x) * channels + channel] }
    set { bytes[(y * width + x) * channels + channel] = newValue }
  }

  /// Grey as RGB, or RGB as grey (ITU-R 601 luma, as JPEG and Pillow have it).
  public func converted(channels wanted: Int) -> Image8 {
    precondition(wanted == 1 || wanted == 3, "a picture of \(wanted) channels")
    guard wanted != channels else { return self }
    let area = width * height
    if wanted == 3 {
      var rgb: [UInt8] = []
      rgb.reserveCapacity(area * 3)
      for value in bytes { for _ in 0..<3 { rgb.append(value) } }
      return Image8(width: width, height: height, channels: 3, bytes: rgb)
    }
    let grey = (0..<area).map { i in
      let r = Int(bytes[3 * i]), g = Int(bytes[3 * i + 1]), b = Int(bytes[3 * i + 2])
      // 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point
      return UInt8((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16)
    }
    return Image8(width: width, height: height, channels: 1, bytes: grey)
  }

  /// The part that starts at (x, y).
  public func cropped(x: Int, y: Int, width: Int, height: Int) -> Image8 {
    precondition(
      x >= 0 && y >= 0 && x + width <= self.width && y + height <= self.height,
      "a crop of \(width)×\(height) at (\(x), \(y)) leaves an image of \(self.width)×\(self.height)")
    if width == self.width && height == self.height { return self }
    var part: [UInt8] = []
    part.reserveCapacity(width * height * channels)
    for row in y..<y + height {
      let start = (row * self.width + x) * channels
      part.append(contentsOf: bytes[start..<start + width * channels])
    }
    return Image8(width: width, height: height, channels: channels, bytes: part)
  }

  /// Copies `image` in, its top left corner at (x, y); what falls outside is left out. Grey goes into RGB, and RGB into grey.
  public mutating func paste(_ image: Image8, x: Int, y: Int) {
    let image = image.converted(channels: channels)
    let columns = max(0, -x)..<max(max(0, -x), min(image.width, width - x))
    guard !columns.isEmpty else { return }
    for row in 0..<image.height where (0..<height).contains(row + y) {
      let from = (row * image.width + columns.lowerBound) * channels
      let to = ((row + y) * width + columns.lowerBound + x) * channels
      let count = columns.count * channels
      bytes.replaceSubrange(to..<to + count, with: image.bytes[from..<from + count])
    }
  }

  /// Each pixel as `factor` × `factor` of its kind: how to look at small images closely.
  public func magnified(by factor: Int) -> Image8 {
    precondition(factor >= 1, "cannot magnify by \(factor)")
    guard factor > 1 else { return self }
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count * factor * factor)
    for y in 0..<height {
      var line: [UInt8] = []
      line.reserveCapacity(width * channels * factor)
      for x in 0..<width {
        let pixel = bytes[(y * width + x) * channels..<(y * width + x + 1) * channels]
        for _ in 0..<factor { line.append(contentsOf: pixel) }
      }
      for _ in 0..<factor { out.append(contentsOf: line) }
    }
    return Image8(width: width * factor, height: height * factor, channels: channels, bytes: out)
  }
}
