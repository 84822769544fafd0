/// The one EXIF tag that matters to pixels: which way the camera was held.
enum EXIF {
  /// The orientation tag of a JPEG, 1…8; 1 (upright) when there is none or it makes no sense.
  static func orientation(_ jpeg: [UInt8]) -> Int {
    var position = 2
    while position + 4 <= jpeg.count, jpeg[position] == 0xFF {
      let marker = jpeg[position + 1]
      if marker == 0xFF {
        position += 1
        continue
      }
      let length = Int(jpeg[position + 2]) << 8 | Int(jpeg[position + 3])
      let end = position + 2 + length
      // The scan starts, or the file is cut short: no tag was found.
      guard marker != 0xDA, length >= 2, end <= jpeg.count else { return 1 }
      if marker == 0xE1, let tag = orientation(segment: jpeg[(position + 4)..<end]) { return tag }
      position = end
    }
    return 1
  }

  private static func orientation(segment: ArraySlice<UInt8>) -> Int? {
    guard segment.starts(with: [0x45, 0x78, 0x69, 0x66, 0, 0]) else { return nil }
    let tiff = Array(segment.dropFirst(6))
    guard tiff.count >= 8 else { return nil }
    let little = tiff[0] == 0x49
    func number(_ at: Int, _ size: Int) -> Int? {
      guard at >= 0, at + size <= tiff.count else { return nil }
      let bytes = tiff[at..<at + size]
      return (little ? bytes.reversed() : Array(bytes)).reduce(0) { $0 << 8 | Int($1) }
    }
    guard let directory = number(4, 4), let entries = number(directory, 2) else { return nil }
    for entry in 0..<entries {
      let at = directory + 2 + 12 * entry
      guard let tag = number(at, 2) else { return nil }
      if tag == 0x0112, let value = number(at + 8, 2), (1...8).contains(value) { return value }
    }
    return nil
  }
}

extension Image8 {
  /// The image as it was seen, from its EXIF orientation 1…8.
  func turned(by orientation: Int) -> Image8 {
    guard orientation > 1 else { return self }
    let transposed = orientation >= 5
    var out = Image8(width: transposed ? height : width, height: transposed ? width : height, channels: channels)
    for y in 0..<out.height {
      for x in 0..<out.width {
        var (u, v) = transposed ? (y, x) : (x, y)
        if [2, 3, 7, 8].contains(orientation) { u = width - 1 - u }
        if [3, 4, 6, 7].contains(orientation) { v = height - 1 - v }
        for c in 0..<channels { out[x, y, c] = self[u, v, c] }
      }
    }
    return out
  }
}
