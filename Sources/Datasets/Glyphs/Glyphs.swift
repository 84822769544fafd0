import Pictures
import Platform

/// An endless set of handwritten-looking characters, drawn white on black: the data set that needs no file.
///
/// Image i is a function of (seed, split, i) alone. A character's strokes get a size, a proportion, a slant, a turn, a smooth
/// distortion and a pen (its width, and how much the width depends on the direction), all at random, and are drawn antialiased.
public struct Glyphs: ImageSource {
  /// The classes, in the order of their labels.
  public static let characters: [Character] = Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")

  /// Another seed is another set.
  public let seed: UInt64
  /// Train and test are independent of each other.
  public let split: Dataset.Split
  /// The images' side in pixels.
  public let side: Int

  /// - Parameter side: in pixels, 8 or more.
  public init(seed: UInt64 = 0, split: Dataset.Split = .train, side: Int = 28) {
    precondition(side >= 8, "a character cannot be read at \(side)×\(side) pixels: take 8 or more")
    self.seed = seed
    self.split = split
    self.side = side
  }

  /// An epoch is as long as MNIST's.
  public var count: Int { split == .train ? 60_000 : 10_000 }
  /// True: any index that is not negative is an image.
  public var isEndless: Bool { true }
  /// Grey, 1 × side × side.
  public var shape: ImageShape { ImageShape(channels: 1, height: side, width: side) }

  /// Image `index`: characters are drawn at random, each as likely as another.
  public func load(_ index: Int) -> Example {
    var random = CounterRandom(seed: seed, stream: split == .train ? 0x676C_7970_6801 : 0x676C_7970_6802, index: index)
    let label = Int(random.next() % UInt64(Self.characters.count))
    let shapes = StrokeFont.shapes(of: Self.characters[label])
    let shape = shapes[Int(random.next() % UInt64(shapes.count))]
    return Example(pixels: draw(Self.distort(shape.strokes, &random), &random), label: Int32(label))
  }

  /// Moves the strokes as another hand would. In and out: capitals are 100 high.
  private static func distort(_ strokes: [[Point]], _ random: inout CounterRandom) -> [[Point]] {
    guard let centre = Bounds(strokes.joined())?.centre else { return strokes }
    let proportion = random.uniform(0.75...1.15)
    let slant = random.uniform(-0.12...0.32)
    let turn = random.uniform(-0.12...0.12)
    let (c, s) = (cos(turn), sin(turn))
    // A smooth field of displacements: one slow wave along x and one along y, for each coordinate.
    let waves = (0..<4).map { _ in
      (size: random.uniform(0...6.5), pace: random.uniform(0.025...0.06), phase: random.uniform(0...2 * .pi))
    }
    func wave(_ i: Int, _ at: Double) -> Double { waves[i].size * sin(waves[i].pace * at + waves[i].phase) }

    return strokes.map { stroke in
      // People do not hit the same place twice: each stroke is a little off.
      let offset = Point(random.uniform(-2.5...2.5), random.uniform(-2.5...2.5))
      return stroke.map { point in
        let p = point - centre
        let waved = Point(p.x + wave(0, p.y) + wave(1, p.x), p.y + wave(2, p.x) + wave(3, p.y)) + offset
        let slanted = Point(proportion * waved.x - slant * waved.y, waved.y)
        return Point(c * slanted.x - s * slanted.y, s * slanted.x + c * slanted.y)
      }
    }
  }

  private func draw(_ strokes: [[Point]], _ random: inout CounterRandom) -> [UInt8] {
    let unit = Double(side) / 28
    // Half the pen's width, in pixels; thin pens are as likely as thick ones.
    let pen = unit * 0.62 * exp(random.uniform(0...log(2.9)))
    let contrast = random.uniform(0...0.4)
    let nib = random.uniform(-0.2...1.4)
    guard let bounds = Bounds(strokes.joined()) else { return .init(repeating: 0, count: side * side) }

    // As high as drawn, but inside a blank frame one pixel wide, whatever the distortion did.
    let room = Double(side) - 2 - 2 * (max(pen, 0.5) + 0.5)
    let wished = random.uniform(15...20.5) * unit / 100
    let scale = min(wished, room / max(bounds.width, 1), room / max(bounds.height, 1))
    let slack = Point((room - scale * bounds.width) / 2, (room - scale * bounds.height) / 2)
    let middle = Point(
      Double(side) / 2 + random.uniform(-1...1) * min(slack.x, 2 * unit),
      Double(side) / 2 + random.uniform(-1...1) * min(slack.y, 2 * unit))

    var mask = Coverage(width: side, height: side)
    for stroke in strokes {
      let points = stroke.map { middle + scale * ($0 - bounds.centre) }
      if points.count == 1 { mask.line(points[0], points[0], radius: pen) }
      for (a, b) in zip(points, points.dropFirst()) {
        // A broad nib: widest across its own direction.
        let width = pen * (1 - contrast * (0.5 + 0.5 * cos(2 * ((b - a).angle - nib))))
        mask.line(a, b, radius: width)
      }
    }
    return mask.values.map { UInt8(($0 * 255).rounded()) }
  }
}

extension Dataset {
  /// The embedded default: endless, seeded, labelled characters.
  public static func glyphs(seed: UInt64 = 0, split: Split = .train, side: Int = 28) -> Dataset {
    Dataset(
      Glyphs(seed: seed, split: split, side: side), name: "glyphs", format: "procedural characters", split: split,
      classes: Glyphs.characters.map { String($0) })
  }
}
