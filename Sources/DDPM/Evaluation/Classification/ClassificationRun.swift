import Diffusion

/// Names the class of images by the bound: what `ddpm evaluate --metric classification` does.
///
/// All classes of an image are measured with the same t and ε; what is drawn depends on (seed, image, t) alone.
public struct ClassificationRun<D: Denoiser> {
  /// Asks the denoiser; its visits are the (t, ε) of an image.
  public let terms: BoundRun<D>
  /// How many classes there are to choose from.
  public let classes: Int
  /// In which order trials are made, and which classes leave.
  public let classifier: DiffusionClassifier
  /// What a class is measured by.
  public let score: ClassificationScore

  /// - Parameters:
  ///   - terms: asks the denoiser; its visits are the (t, ε) of an image.
  ///   - eliminates: whether the worst classes leave early.
  public init(_ terms: BoundRun<D>, classes: Int, eliminates: Bool = true, score: ClassificationScore = .bound) {
    precondition(classes > 0, "\(classes) classes to choose from")
    self.terms = terms
    self.classes = classes
    classifier = .overClasses(classes, trials: terms.visits.count, eliminates: eliminates)
    self.score = score
  }

  /// Goes on from the images that `statistics` holds. The ranks of ``terms`` take the images in turn, and all have all results.
  ///
  /// - Parameters:
  ///   - count: images in the end.
  ///   - image: gives image i; its condition is its true class.
  ///   - observe: called after an image of each rank; throw from it to stop.
  public func callAsFunction(
    _ statistics: inout ClassificationStatistics, upTo count: Int, image: (Int) throws -> EvaluationImage,
    observe: ((ClassificationStatistics) throws -> Void)? = nil
  ) throws {
    let ranks = terms.ranks
    for start in stride(from: statistics.images.count, to: count, by: ranks.count) {
      let index = start + ranks.rank
      var mine: [Int] = []
      if index < count {
        let image = try image(index)
        guard case let label?? = image.condition.classes?.first else {
          throw EvaluationError.noLabel("image \(index)")
        }
        mine = ClassificationStatistics.Image(truth: label, try classify(image.x0, index: index)).numbers
      }
      let all = try ranks.gather(mine, most: ClassificationStatistics.Image.numberCount)
      statistics.images += all.prefix(count - start).map(ClassificationStatistics.Image.init)
      try observe?(statistics)
    }
  }

  /// The class of one image.
  ///
  /// - Parameters:
  ///   - x0: [1, C, H, W].
  ///   - index: its address in the noise.
  public func classify(_ x0: Images, index: Int) throws -> DiffusionClassifier.Result {
    let noise = CounterNoise(seed: terms.seed, firstSample: index, stream: .evaluation)
    let visits = terms.visits(image: index, seed: terms.seed)
    let order = Self.leaping(visits.count)
    return try classifier(classes: classes) { trials, classes in
      let chosen = trials.map { visits[order[$0]] }
      let pairs = classes.flatMap { c in chosen.map { (label: c, visit: $0) } }
      var values: [Double] = []
      values.reserveCapacity(pairs.count)
      for start in stride(from: 0, to: pairs.count, by: terms.batchSize) {
        let part = pairs[start..<min(start + terms.batchSize, pairs.count)]
        let found = try terms.terms(
          x0: x0.repeated(part.count),
          ε: Images(joining: part.map { noise.stepNoise(leaving: $0.visit.t, shape: x0.shape) }),
          at: part.map(\.visit.t), given: .classes(part.map(\.label)))
        for (pair, term) in zip(part, found) {
          let value = score == .bound ? term.nats : term.εError
          guard value.isFinite else { throw EvaluationError.notFinite(value, t: pair.visit.t) }
          // One t stands for its whole stratum.
          values.append(pair.visit.weight * value)
        }
      }
      return classes.indices.map { Array(values[$0 * chosen.count..<($0 + 1) * chosen.count]) }
    }
  }

  /// 0 ..< count in an order whose every beginning is spread over all: by steps of about the golden ratio, so that each stage of an
  /// elimination sees small and large t.
  static func leaping(_ count: Int) -> [Int] {
    func divisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : divisor(b, a % b) }
    var step = max(1, Int((0.618_034 * Double(count)).rounded()))
    while divisor(step, count) > 1 { step += 1 }
    return (0..<count).map { $0 * step % count }
  }
}

/// What a class is measured by.
public enum ClassificationScore: String, CaseIterable, Sendable {
  /// The terms of the bound L(c): Bayes' rule.
  case bound
  /// The squared errors of ε̂ (Li et al. 2023, eq. 6): the bound without its weights, which lie heavily on small t.
  case error
}

extension DiffusionClassifier {
  /// An eighth of the trials for all classes, three eighths for the better third, the other half for the best two; or all trials for all.
  ///
  /// - Parameter trials: of the classes that stay to the end.
  public static func overClasses(_ count: Int, trials: Int, eliminates: Bool = true) -> DiffusionClassifier {
    guard eliminates, count > 2, trials >= 8 else { return DiffusionClassifier([Stage(trials: trials, keep: 1)]) }
    let (first, second) = (trials / 8, trials / 2 - trials / 8)
    return DiffusionClassifier([
      Stage(trials: first, keep: max(2, (count + 2) / 3)), Stage(trials: second, keep: 2),
      Stage(trials: trials - first - second, keep: 1),
    ])
  }

  /// The predictions that an image of so many classes takes.
  public func predictions(classes: Int) -> Int {
    stages.reduce(into: (sum: 0, left: classes)) { $0 = ($0.sum + $1.trials * $0.left, min($0.left, $1.keep)) }.sum
  }
}
