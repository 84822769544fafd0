import Platform

/// Bayes' rule with the bound in the likelihood's place: argmax_c p(c | x_0) ≈ argmin_c L(c), where all classes are measured with the same
/// ε and t and the worst leave early (Li et al. 2023, algorithm 2).
public struct DiffusionClassifier: Sendable, Hashable {
  /// Some more trials for every class that is left, after which the best `keep` go on.
  public struct Stage: Sendable, Hashable {
    /// Trials of each class that is left, beside those of the stages before.
    public let trials: Int
    /// Classes that are left after it, at most.
    public let keep: Int

    /// Both at least 1.
    public init(trials: Int, keep: Int) {
      precondition(trials > 0 && keep > 0, "a stage of \(trials) trials that keeps \(keep) classes")
      self.trials = trials
      self.keep = keep
    }
  }

  /// What the trials say.
  public struct Result: Sendable, Equatable {
    /// The class whose mean is least among those that stayed to the end.
    public let best: Int
    /// The mean term of each class, over the trials that it took part in.
    public let means: [Double]
    /// How many those were.
    public let trials: [Int]
  }

  /// One after the other; the class with the least mean wins the last.
  public let stages: [Stage]

  /// - Parameter stages: at least one.
  public init(_ stages: [Stage]) {
    precondition(!stages.isEmpty, "a classifier of no stages")
    self.stages = stages
  }

  /// - Parameters:
  ///   - classes: how many there are.
  ///   - terms: the terms of L(c) for some trials and some classes, [class][trial]. A trial stands for one (t, ε), the same for every class
  ///     that asks; it counts from 0 through all stages.
  public func callAsFunction(
    classes: Int, terms: (_ trials: Range<Int>, _ classes: [Int]) throws -> [[Double]]
  ) rethrows -> Result {
    precondition(classes > 0, "no classes to choose from")
    var sums = [Double](repeating: 0, count: classes)
    var counts = [Int](repeating: 0, count: classes)
    var left = Array(0..<classes)
    var done = 0
    for stage in stages {
      let trials = done..<done + stage.trials
      let rows = try terms(trials, left)
      precondition(
        rows.count == left.count && rows.allSatisfy { $0.count == trials.count },
        "terms of \(rows.count) classes and \(rows.map(\.count)) trials, where \(left.count) classes took \(trials.count)"
      )
      for (c, row) in zip(left, rows) {
        sums[c] += row.reduce(0, +)
        counts[c] += row.count
      }
      done = trials.upperBound
      // Of equals the first stays.
      left.sort { (sums[$0], $0) < (sums[$1], $1) }
      left.removeLast(max(0, left.count - stage.keep))
    }
    return Result(best: left[0], means: zip(sums, counts).map { $0 / Double($1) }, trials: counts)
  }

  /// p(c | x_0) ∝ p(c) e^{−L(c)}.
  ///
  /// - Parameters:
  ///   - nats: L(c) of the whole image, not of a dimension.
  ///   - prior: p(c); the same for all unless given.
  public static func posterior(nats: [Double], prior: [Double]? = nil) -> [Double] {
    precondition(
      prior == nil || prior?.count == nats.count, "\(prior?.count ?? 0) prior probabilities of \(nats.count)")
    let logs = nats.indices.map { c in (prior.map { log($0[c]) } ?? 0) - nats[c] }
    let most = logs.max() ?? 0
    let masses = logs.map { exp($0 - most) }
    let sum = masses.reduce(0, +)
    return masses.map { $0 / sum }
  }
}

extension VariationalBound {
  /// L(∅) − L(c) ≈ ln p(x_0 | c) − ln p(x_0), in bits a dimension: what the condition tells of x_0. L_T, which sees no condition, cancels.
  ///
  /// - Parameters:
  ///   - given: terms under the condition.
  ///   - without: terms under ∅, of the same t and ε: then most of their chance cancels too.
  ///   - weights: for how many t each stands; 1 unless given.
  public static func conditionalGap(given: [Term], without: [Term], weights: [Double]? = nil) -> Double {
    precondition(given.map(\.t) == without.map(\.t), "terms of different timesteps")
    return given.indices.reduce(0) { $0 + (weights?[$1] ?? 1) * (without[$1].bits - given[$1].bits) }
  }
}
