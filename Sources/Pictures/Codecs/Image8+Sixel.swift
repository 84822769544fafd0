extension Image8 {
  /// The picture in sixels, the graphics of some terminals (DEC STD 070): six rows at a time, each colour in a pass of its own.
  ///
  /// Greys have 64 levels and colours six a channel, since terminals know 256 colours.
  public var sixels: String {
    let levels = channels == 1 ? 64 : 6
    func colour(_ x: Int, _ y: Int) -> Int {
      (0..<channels).reduce(0) { $0 * levels + (Int(self[x, y, $1]) * (levels - 1) + 127) / 255 }
    }
    // Its channels in percent.
    func definition(_ colour: Int) -> String {
      let parts = channels == 1 ? [colour, colour, colour] : [colour / 36, colour / 6 % 6, colour % 6]
      return "#\(colour);2" + parts.map { ";\($0 * 100 / (levels - 1))" }.joined()
    }

    // Pixels of no colour stay as they are; one pixel is as high as it is wide.
    var text = "\u{1B}P0;1q\"1;1;\(width);\(height)"
    var defined: Set<Int> = []
    for top in stride(from: 0, to: height, by: 6) {
      // Which of the six rows have a colour, column by column.
      var rows: [Int: [UInt8]] = [:]
      for y in top..<min(top + 6, height) {
        for x in 0..<width { rows[colour(x, y), default: .init(repeating: 0, count: width)][x] |= 1 << (y - top) }
      }
      for (colour, columns) in rows.sorted(by: { $0.key < $1.key }) {
        if defined.insert(colour).inserted { text += definition(colour) }
        text += "#\(colour)" + Self.runs(columns) + "$"
      }
      text += "-"
    }
    return text + "\u{1B}\\"
  }

  /// Equal columns are counted.
  private static func runs(_ columns: [UInt8]) -> String {
    var text = ""
    var start = 0
    while start < columns.count {
      let end = columns[start...].firstIndex { $0 != columns[start] } ?? columns.count
      let character = String(UnicodeScalar(63 + columns[start]))
      text += end - start > 3 ? "!\(end - start)\(character)" : String(repeating: character, count: end - start)
      start = end
    }
    return text
  }
}
