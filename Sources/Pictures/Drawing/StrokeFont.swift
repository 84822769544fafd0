import Platform

/// Characters as the pen draws them: paths without width. The glyph data set distorts them; plots write with them.
///
/// Units: capitals are 100 high, y runs down from the cap line (0) to the baseline (100).
package enum StrokeFont {
  /// One way to draw a character.
  package struct Shape: Sendable {
    /// Each stroke as a fine polyline.
    package let strokes: [[Point]]
    /// The width of the ink's bounding box, plus the space after it when written in a line.
    package let advance: Double
  }

  /// The ways to draw a character: the first is the plainest. None if it is unknown.
  package static func shapes(of character: Character) -> [Shape] { table[character] ?? [] }

  /// The line's width in units.
  package static func width(of text: String) -> Double { text.reduce(0) { $0 + advance(of: $1) } }

  /// The strokes of a line of text, in units, from x = 0.
  package static func strokes(of text: String) -> [[Point]] {
    var strokes: [[Point]] = []
    var x = 0.0
    for character in text {
      if let shape = table[character]?.first {
        strokes += shape.strokes.map { $0.map { $0 + Point(x + spacing / 2, 0) } }
      } else if character != " " {
        // An unknown character is drawn as a box, as typefaces do.
        let box = [Point(0, 20), Point(45, 20), Point(45, 100), Point(0, 100), Point(0, 20)]
        strokes.append(box.map { $0 + Point(x + spacing / 2, 0) })
      }
      x += advance(of: character)
    }
    return strokes
  }

  static let spacing = 26.0

  private static func advance(of character: Character) -> Double {
    if character == " " { return 50 }
    return table[character]?.first?.advance ?? 45 + spacing
  }

  private static let table: [Character: [Shape]] = {
    let plain = drawings.mapValues { $0.map(parse) }.merging(mathematics.mapValues { [parse($0)] }) { first, _ in first
    }
    return plain.merging(derived(from: plain)) { first, _ in first }
  }()

  /// Reads a path: `M x y` lifts the pen and goes there, `L x y …` draws lines, `C` a cubic Bézier curve (three points),
  /// `A cx cy rx ry from to` an arc of an ellipse (degrees, clockwise from the right), which `M` alone begins afresh.
  private static func parse(_ path: String) -> Shape {
    var strokes: [[Point]] = []
    var stroke: [Point] = []
    var command: Character = "M"
    var numbers: [Double] = []

    func obey() {
      switch (command, numbers.count) {
      case ("M", 2):
        if !stroke.isEmpty { strokes.append(stroke) }
        stroke = [Point(numbers[0], numbers[1])]
        command = "L"
      case ("L", 2):
        let from = stroke.last ?? Point(numbers[0], numbers[1])
        let to = Point(numbers[0], numbers[1])
        // Straight lines are cut as well, so that a distortion can bend them.
        let pieces = max(1, Int((to - from).length / 12))
        for i in 1...pieces { stroke.append(from + Double(i) / Double(pieces) * (to - from)) }
      case ("C", 6):
        let p0 = stroke.last ?? Point(numbers[0], numbers[1])
        let p1 = Point(numbers[0], numbers[1]), p2 = Point(numbers[2], numbers[3]), p3 = Point(numbers[4], numbers[5])
        for i in 1...12 {
          let t = Double(i) / 12, s = 1 - t
          stroke.append((s * s * s) * p0 + (3 * s * s * t) * p1 + (3 * s * t * t) * p2 + (t * t * t) * p3)
        }
      case ("A", 6):
        let pieces = max(4, Int(abs(numbers[5] - numbers[4]) / 12))
        for i in 0...pieces {
          let angle = (numbers[4] + (numbers[5] - numbers[4]) * Double(i) / Double(pieces)) * .pi / 180
          stroke.append(Point(numbers[0] + numbers[2] * cos(angle), numbers[1] + numbers[3] * sin(angle)))
        }
      default: return
      }
      numbers = []
    }

    for token in path.split(separator: " ") {
      if let number = Double(token) {
        numbers.append(number)
        obey()
      } else {
        command = token.first ?? "L"
        numbers = []
        if command == "M", !stroke.isEmpty {
          strokes.append(stroke)
          stroke = []
        }
      }
    }
    if !stroke.isEmpty { strokes.append(stroke) }
    let bounds = Bounds(strokes.joined())
    let left = bounds?.low.x ?? 0
    strokes = strokes.map { $0.map { Point($0.x - left, $0.y) } }
    return Shape(strokes: strokes, advance: (bounds?.width ?? 0) + spacing)
  }
}
