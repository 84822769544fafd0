import Files

/// Windows bitmaps (BITMAPINFOHEADER and later, uncompressed): 8 bits with a palette, 24 bits, 32 bits.
struct BMP {
  let stored: StoredImage
  private let bytes: [UInt8]
  /// Where the stored row comes from which is shown at the top, and how far it is to the next.
  private let top: Int, step: Int
  private let bits: Int
  /// RGB triples, of 8-bit files.
  private var palette: [UInt8] = []
  private let hasAlpha: Bool

  /// Reads the header; the pixels are looked for by ``decode(_:)``.
  init(_ bytes: [UInt8], name: String) throws(DataError) {
    func damaged(_ problem: String) -> DataError {
      DataError(.corrupt, file: name, "damaged BMP: \(problem)", remedy: "replace or remove it")
    }
    func unsupported(_ problem: String) -> DataError {
      DataError(.unsupported, file: name, "is a BMP \(problem)", remedy: "convert it to PNG or JPEG")
    }
    // Little-endian, within the bytes that were checked to be there.
    func number(_ at: Int, _ size: Int) -> Int { bytes[at..<at + size].reversed().reduce(0) { $0 << 8 | Int($1) } }

    guard bytes.count >= 54 else { throw damaged("it ends in the header") }
    let headerSize = number(14, 4)
    guard headerSize >= 40 else { throw unsupported("of OS/2") }
    let width = number(18, 4), signedHeight = Int(Int32(truncatingIfNeeded: number(22, 4)))
    let compression = number(30, 4)
    bits = number(28, 2)
    guard [8, 24, 32].contains(bits) else { throw unsupported("with \(bits) bits a pixel") }

    // 3 names the places of red, green and blue in masks: those that everybody writes are read.
    if compression == 3, bits == 32 {
      guard bytes.count >= 70 else { throw damaged("it ends in the header") }
      guard number(54, 4) == 0xFF0000, number(58, 4) == 0xFF00, number(62, 4) == 0xFF else {
        throw unsupported("with unusual colour masks")
      }
      hasAlpha = headerSize >= 56 && number(66, 4) == 0xFF00_0000
    } else {
      guard compression == 0 else { throw unsupported("with compression \(compression)") }
      hasAlpha = false
    }
    guard width > 0, width <= Int(Int32.max), signedHeight != 0 else {
      throw damaged("\(width)×\(signedHeight) pixels")
    }
    let height = abs(signedHeight)
    try StoredImage.check(width, height, name: name)

    var channels = 3
    if bits == 8 {
      let used = number(46, 4), start = 14 + headerSize
      let count = used == 0 ? 256 : used
      guard count <= 256, start + 4 * count <= bytes.count else { throw damaged("it ends in the palette") }
      let colours = (0..<count).map { i in [2, 1, 0].map { bytes[start + 4 * i + $0] } }
      channels = colours.allSatisfy { Set($0).count == 1 } ? 1 : 3
      palette = Array(colours.joined())
    }
    // Rows are padded to four bytes, and stored from the bottom unless the height is negative.
    let stride = (width * bits + 31) / 32 * 4
    (top, step) = (number(10, 4) + (signedHeight > 0 ? (height - 1) * stride : 0), signedHeight > 0 ? -stride : stride)
    stored = StoredImage(format: .bmp, width: width, height: height, channels: channels)
    self.bytes = bytes
  }

  /// Hands the rows on, from the top.
  func decode(name: String, _ onRow: (UnsafeBufferPointer<UInt8>) -> Void) throws(DataError) {
    let (width, height) = (stored.width, stored.height)
    let bottom = top + (height - 1) * step, rowBytes = width * bits / 8
    guard min(top, bottom) >= 54, max(top, bottom) + rowBytes <= bytes.count else {
      throw DataError(.corrupt, file: name, "damaged BMP: it ends before its pixels do", remedy: "replace or remove it")
    }
    var row = [UInt8](repeating: 0, count: width * stored.channels)
    for y in 0..<height {
      let start = top + y * step
      for x in 0..<width {
        if bits == 8 {
          let index = 3 * Int(bytes[start + x])
          guard index < palette.count else {
            throw DataError(
              .corrupt, file: name, "damaged BMP: a colour that its palette does not have",
              remedy: "replace or remove it")
          }
          for c in 0..<stored.channels { row[x * stored.channels + c] = palette[index + c] }
        } else {
          let pixel = start + x * bits / 8
          let alpha = hasAlpha ? Int(bytes[pixel + 3]) : 255
          for c in 0..<3 { row[3 * x + c] = overWhite(bytes[pixel + 2 - c], alpha) }
        }
      }
      row.withUnsafeBufferPointer(onRow)
    }
  }
}

/// α value + (1 − α) 255, α in 255ths.
func overWhite(_ value: UInt8, _ alpha: Int) -> UInt8 {
  UInt8((Int(value) * alpha + 255 * (255 - alpha) + 127) / 255)
}
