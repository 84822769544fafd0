import Pictures
import Platform

/// A picture in the characters of a terminal: each stands for 2×2 pixels, which share two colours.
struct TerminalPicture {
  /// How many colours the terminal shows.
  enum Colours {
    case none, greys, all

    /// Of the terminal that the environment describes. NO_COLOR (no-color.org) asks for none.
    static var ofEnvironment: Colours {
      func says(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }
      if !says("NO_COLOR").isEmpty || says("TERM") == "dumb" || says("TERM").isEmpty { return .none }
      return ["truecolor", "24bit"].contains(says("COLORTERM")) ? .all : .greys
    }
  }

  let colours: Colours

  /// Quarters of a cell by which of them are bright: 1 upper left, 2 upper right, 4 lower left, 8 lower right.
  private static let cells = Array(" ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█")

  /// The lines of a picture; those pixels beyond `width` columns are left out.
  func lines(_ picture: Image8, width: Int) -> [String] {
    let grey = picture.converted(channels: 1), rgb = picture.converted(channels: 3)
    let columns = min(width, (picture.width + 1) / 2)
    return stride(from: 0, to: picture.height, by: 2).map { y in
      (0..<columns).map { cell($0 * 2, y, grey, rgb) }.joined() + (colours == .none ? "" : "\u{1B}[0m")
    }
  }

  private func cell(_ x: Int, _ y: Int, _ grey: Image8, _ rgb: Image8) -> String {
    let (right, below) = (min(x + 1, grey.width - 1), min(y + 1, grey.height - 1))
    let pixels: [Point] = [Point(x, y), Point(right, y), Point(x, below), Point(right, below)]
    let values: [Int] = pixels.map { Int(grey[$0.x, $0.y, 0]) }
    let sum: Int = values.reduce(0, +)
    // Without colours the middle parts the bright from the dark; with them the cell's own mean does.
    let middle = colours == .none ? 128 : (sum + 2) / 4
    var shape = 0
    for (i, value) in values.enumerated() where value >= middle { shape |= 1 << i }
    let character = String(Self.cells[shape])
    guard colours != .none else { return character }
    func mean(bright: Bool) -> [Int] {
      let chosen = zip(pixels, values).filter { ($0.1 >= middle) == bright }.map(\.0)
      guard !chosen.isEmpty else { return [0, 0, 0] }
      return (0..<3).map { c -> Int in
        let total: Int = chosen.reduce(0) { $0 + Int(rgb[$1.x, $1.y, c]) }
        return total / chosen.count
      }
    }
    return code(38, mean(bright: true)) + code(48, mean(bright: false)) + character
  }

  private struct Point {
    let x, y: Int

    init(_ x: Int, _ y: Int) { (self.x, self.y) = (x, y) }
  }

  private func code(_ layer: Int, _ colour: [Int]) -> String {
    if colours == .all { return "\u{1B}[\(layer);2;\(colour[0]);\(colour[1]);\(colour[2])m" }
    // Greys of the 256 colours: 232 to 255.
    let mean: Int = colour.reduce(0, +) / 3
    return "\u{1B}[\(layer);5;\(232 + mean * 23 / 255)m"
  }
}
