import Diffusion
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What the images so far were taken for.
public struct ClassificationStatistics: Sendable, Equatable {
  /// One image.
  public struct Image: Sendable, Equatable {
    /// Its class, from 0.
    public let truth: Int
    /// The class that it was taken for, from 0.
    public let best: Int
    /// Predictions that it took.
    public let predictions: Int

    init(truth: Int, _ result: DiffusionClassifier.Result) {
      (self.truth, best, predictions) = (truth, result.best, result.trials.reduce(0, +))
    }

    static let numberCount = 3
    var numbers: [Int] { [truth, best, predictions] }
    /// - Parameter numbers: as `numbers` has them.
    init(_ numbers: [Int]) { (truth, best, predictions) = (numbers[0], numbers[1], numbers[2]) }
  }

  /// In their order.
  public internal(set) var images: [Image] = []

  /// Those of no image yet.
  public init() {}

  /// Images that were taken for what they are.
  public var correct: Int { images.count { $0.truth == $0.best } }
  /// The share of those; not a number without images.
  public var accuracy: Double { Double(correct) / Double(images.count) }

  /// The 95% confidence interval of the accuracy.
  public var confidence95: ClosedRange<Double> { Self.wilson(correct, of: images.count) }

  /// The interval of a share that does not leave [0, 1] (Wilson 1927).
  static func wilson(_ hits: Int, of count: Int) -> ClosedRange<Double> {
    guard count > 0 else { return 0...1 }
    let (n, p, z) = (Double(count), Double(hits) / Double(count), 1.959_963_984_540_054)
    // (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)
    let centre = p + z * z / (2 * n)
    let half = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
    let scale = 1 + z * z / n
    return max(0, (centre - half) / scale)...min(1, (centre + half) / scale)
  }

  /// How many images of class i were taken for class j: [i][j].
  public func confusion(classes: Int) -> [[Int]] {
    var counts = [[Int]](repeating: [Int](repeating: 0, count: classes), count: classes)
    for image in images { counts[image.truth][image.best] += 1 }
    return counts
  }

  /// Reads what was written for the same evaluation.
  ///
  /// - Throws: ``EvaluationError`` where the file is damaged or of another evaluation, or `FileError`.
  public init(reading url: URL, expecting identity: [String: JSONValue], classes: Int) throws {
    let object = try EvaluationState.object(reading: url, format: Self.format, expecting: identity)
    func damaged(_ problem: String) -> EvaluationError { .damagedState(url.path, problem) }
    guard let rows = object["images"]?.array else { throw damaged("it holds no images") }
    images = try rows.map { row in
      guard let values = row.array?.compactMap(\.integer), values.count == Image.numberCount,
        (0..<classes).contains(values[0]),
        (0..<classes).contains(values[1]), values[2] > 0
      else { throw damaged("an image's class") }
      return Image(values)
    }
  }

  /// Writes the state, whole or not at all.
  public func write(to url: URL, identity: [String: JSONValue]) throws {
    let rows = images.map { JSONValue.array($0.numbers.map { .integer($0) }) }
    let object: [String: JSONValue] = [
      "format": .string(Self.format), "identity": .object(identity), "images": .array(rows),
    ]
    try AtomicFile.write(JSONValue.object(object).compactText + "\n", to: url)
  }

  private static let format = "ddpm-classification-1"
}
