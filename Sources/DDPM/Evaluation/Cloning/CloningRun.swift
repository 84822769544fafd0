import Datasets
import Diffusion

/// Cloning experiments with a model: from each of some x_t two copies go on with noises of their own (`CloningExperiment`), and where they
/// end is compared.
public struct CloningRun<D: Denoiser> {
  /// Where copies begin, and their noise.
  public let experiment: CloningExperiment
  /// What is asked at each step.
  public let denoiser: D
  /// Of one sample.
  public let shape: Images.Shape
  /// Trajectories that walk together; it changes the speed, never the result.
  public let batchSize: Int
  /// What is asked of trajectories.
  public let condition: (Range<Int>) throws -> Condition
  /// The class of each x_0; nil where no classes are told apart.
  public let classify: ((Images) throws -> [Int])?

  /// An experiment with a denoiser.
  public init(
    _ experiment: CloningExperiment, denoiser: D, shape: Images.Shape, batchSize: Int,
    condition: @escaping (Range<Int>) throws -> Condition, classify: ((Images) throws -> [Int])? = nil
  ) {
    precondition(batchSize > 0, "a batch of \(batchSize)")
    self.experiment = experiment
    self.denoiser = denoiser
    self.shape = shape
    self.batchSize = batchSize
    self.condition = condition
    self.classify = classify
  }

  /// Predictions that a trajectory and its copies take.
  public func predictions(at levels: [Timestep]) -> Int {
    experiment.timesteps.count
      + levels.reduce(0) { sum, level in sum + experiment.timesteps.count { $0 <= level } }
  }

  /// Goes on from the trajectories that `statistics` holds.
  ///
  /// - Parameters:
  ///   - count: trajectories in the end.
  ///   - observe: called after each step with the predictions done and to do in this call; throw from it to stop.
  public func callAsFunction(
    _ statistics: inout CloningStatistics, upTo count: Int,
    observe: ((_ done: Int, _ total: Int, _ statistics: CloningStatistics) throws -> Void)? = nil
  ) throws {
    let levels = statistics.levels
    let total = max(0, count - statistics.count) * predictions(at: levels)
    var done = 0
    while statistics.count < count {
      let part = statistics.count..<min(count, statistics.count + batchSize)
      var shape = shape
      shape.count = part.count
      let soFar = statistics
      let (originals, copies) = try experiment.ends(
        shape: shape, at: levels, sampler: Ancestral(), denoiser: denoiser, given: try condition(part),
        firstSample: part.lowerBound
      ) {
        done += part.count
        try observe?(min(done, total), total, soFar)
      }
      let classes = try classify?(originals)
      for (i, level) in levels.enumerated() {
        guard let copy = copies[level] else { continue }
        for n in 0..<part.count {
          // ‖x_0 − x_0'‖²
          let difference = originals[sample: n] - copy[sample: n]
          statistics.distances[i].append(difference.scalars.reduce(0.0) { $0 + Double($1) * Double($1) })
        }
        if let classes, let classify {
          statistics.agreements[i] += zip(classes, try classify(copy)).map { $0 == $1 }
        }
      }
    }
  }
}

extension Dataset {
  /// What tells classes apart: the class that is likeliest of a slightly noised point, where `count` of the data are all there is
  /// (`EmpiricalData`); nil for data without classes.
  ///
  /// - Parameter alphaBar: how slightly.
  public func classifier(of count: Int, alphaBar ᾱ: Double) throws -> ((Images) throws -> [Int])? {
    guard classes.count > 1 else { return nil }
    let examples = try (0..<min(count, self.count)).map { try load($0) }
    let points = Images(
      shape: .init(examples.count, shape.channels, shape.height, shape.width), scalars: examples.flatMap(\.x0))
    let known = EmpiricalData(points, labels: examples.map { Int($0.label) })
    return { x in
      known.posteriors(of: x.scalars.map { ᾱ.squareRoot() * Double($0) }, alphaBar: ᾱ).map { posterior in
        posterior.classes.indices.max { posterior.classes[$0] < posterior.classes[$1] } ?? 0
      }
    }
  }
}
