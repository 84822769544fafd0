import Files
import Pictures

/// An endless set of points that lie where a drawing is dark: each pixel as often as it is dark, evenly within it, y upwards.
///
/// Point i is a function of (seed, split, i) alone. Centred and scaled as ``FigurePoints``.
public struct DrawnPoints: ImageSource {
  /// Another seed is another set of the same density.
  public let seed: UInt64
  /// Train and test are independent of each other.
  public let split: Dataset.Split
  private let width: Int
  /// The darkness of all pixels up to and with each.
  private let sums: [Int]
  private let standard: Standardisation

  /// - Parameter name: what errors call the drawing.
  /// - Throws: ``DataError`` where nothing is dark.
  public init(_ drawing: Image8, name: String, seed: UInt64 = 0, split: Dataset.Split = .train) throws(DataError) {
    let grey = drawing.converted(channels: 1)
    var (sums, total): ([Int], Int) = ([], 0)
    for value in grey.bytes {
      total += 255 - Int(value)
      sums.append(total)
    }
    guard total > 0 else {
      throw DataError(
        .empty, file: name, "is white all over", remedy: "draw dark on white: points lie where it is dark")
    }
    var pixels: [PointComponent] = []
    for (i, value) in grey.bytes.enumerated() where value < 255 {
      pixels.append(
        PointComponent(
          // A pixel is a square of side 1, whose variance is 1/12.
          weight: Double(255 - value), mean: Self.corner(i, grey.width).map { $0 + 0.5 }, variance: 1 / 12, label: 0))
    }
    (self.seed, self.split, width, self.sums) = (seed, split, grey.width, sums)
    standard = Standardisation(of: pixels)
  }

  /// The lower left corner of a pixel.
  private static func corner(_ pixel: Int, _ width: Int) -> [Double] {
    [Double(pixel % width), -Double(pixel / width + 1)]
  }

  /// An epoch.
  public var count: Int { split == .train ? 50_000 : 10_000 }
  /// True: any index that is not negative is a point.
  public var isEndless: Bool { true }
  /// False: numbers.
  public var isPixels: Bool { false }
  /// 2×1×1.
  public var shape: ImageShape { ImageShape(channels: 2, height: 1, width: 1) }

  /// Point `index`, without a class.
  public func load(_ index: Int) -> Example {
    var random = CounterRandom(seed: seed, stream: split == .train ? 0x6472_6177_6E01 : 0x6472_6177_6E02, index: index)
    let place = Int(random.next() % UInt64(sums[sums.count - 1]))
    // The first pixel whose sum exceeds the place.
    var (low, high) = (0, sums.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if sums[middle] > place { high = middle } else { low = middle + 1 }
    }
    let corner = Self.corner(low, width)
    return Example(values: standard([corner[0] + random.unit(), corner[1] + random.unit()]), label: 0)
  }
}
