import CZlib

extension Animation {
  /// Animated PNG: every frame is encoded by libpng, and its data are put into the chunks of the APNG specification 1.0.
  func apng() throws -> [UInt8] {
    var file: [UInt8] = []
    var sequence: UInt32 = 0
    for (i, frame) in frames.enumerated() {
      let png = try frame.png()
      let chunks = Self.chunks(of: png)
      if i == 0 {
        file += png.prefix(8)
        if let header = chunks.first(where: { $0.type == "IHDR" }) { Self.append("IHDR", header.data, to: &file) }
        Self.append("acTL", Self.bigEndian(UInt32(frames.count)) + Self.bigEndian(UInt32(plays)), to: &file)
      }
      // Sequence number, size, offset, delay as a fraction, then: leave the canvas, replace all of it.
      var control = Self.bigEndian(sequence) + Self.bigEndian(UInt32(width)) + Self.bigEndian(UInt32(height))
      control += Self.bigEndian(0) + Self.bigEndian(0)
      control += Self.bigEndian(UInt32(min(delays[i], 65_535)) << 16 | 1000) + [0, 0]
      Self.append("fcTL", control, to: &file)
      sequence += 1
      for chunk in chunks where chunk.type == "IDAT" {
        if i == 0 {
          Self.append("IDAT", chunk.data, to: &file)
        } else {
          Self.append("fdAT", Self.bigEndian(sequence) + chunk.data, to: &file)
          sequence += 1
        }
      }
    }
    Self.append("IEND", [], to: &file)
    return file
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  private static func chunks(of png: [UInt8]) -> [(type: String, data: ArraySlice<UInt8>)] {
    var chunks: [(String, ArraySlice<UInt8>)] = []
    var position = 8
    while position + 12 <= png.count {
      let length = png[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
      guard position + 12 + length <= png.count else { break }
      let type = String(decoding: png[position + 4..<position + 8], as: UTF8.self)
      chunks.append((type, png[position + 8..<position + 8 + length]))
      position += 12 + length
    }
    return chunks
  }

  private static func append(_ type: String, _ data: some Collection<UInt8>, to file: inout [UInt8]) {
    let body = Array(type.utf8) + data
    file += bigEndian(UInt32(data.count)) + body
    file += bigEndian(UInt32(truncatingIfNeeded: crc32(0, body, UInt32(body.count))))
  }
}
