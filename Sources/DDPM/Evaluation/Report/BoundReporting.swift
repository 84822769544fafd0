import Datasets
import Diffusion
import Files
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What was measured, in words that go into every report.
public struct EvaluationSubject: Sendable {
  /// The model as it was named: a path.
  public var model: String
  /// The data's name.
  public var data: String
  /// nil where the data knows no parts, and all of it was taken.
  public var split: Dataset.Split?
  /// σ² of the reverse steps.
  public var variance: ReverseVariance
  /// What limits x̂_0.
  public var limit: X0Limit
  /// Seed of all noise.
  public var seed: UInt64
  /// Predictions for each image.
  public var timesteps: Int
  /// Of so many timesteps.
  public var T: Int

  /// As given: nothing is checked.
  public init(
    model: String, data: String, split: Dataset.Split?, variance: ReverseVariance, limit: X0Limit, seed: UInt64,
    timesteps: Int, T: Int
  ) {
    self.model = model
    self.data = data
    self.split = split
    self.variance = variance
    self.limit = limit
    self.seed = seed
    self.timesteps = timesteps
    self.T = T
  }

  /// `split` of a report.
  public var splitName: String { split?.rawValue ?? "all" }

  /// The keys that every report begins with.
  public var json: [String: JSONValue] {
    [
      "model": .string(model), "data": .string(data), "split": .string(splitName),
      "variance": .string(variance.rawValue), "x0_limit": limit.json, "seed": .exact(seed),
      "timesteps": .integer(timesteps), "num_train_timesteps": .integer(T), "is_estimate": .bool(timesteps < T),
    ]
  }
}

/// What an evaluation leaves: numbers for programs, and a picture.
public protocol EvaluationReport {
  /// All numbers, for programs.
  var json: JSONValue { get }
  /// The curves.
  var plot: PlotRow { get }
}

extension EvaluationReport {
  /// The keys of ``json``, and how it was computed.
  public func object(seconds: Double, batchSize: Int) -> [String: JSONValue] {
    var object = json.object ?? [:]
    object["seconds"] = .number(seconds)
    object["batch_size"] = .integer(batchSize)
    return object
  }

  /// Writes ``object(seconds:batchSize:)``.
  public func writeJSON(to url: URL, seconds: Double, batchSize: Int) throws {
    try AtomicFile.write(JSONValue.object(object(seconds: seconds, batchSize: batchSize)).canonicalText, to: url)
  }
}

/// The results of `ddpm evaluate --metric likelihood`.
public struct LikelihoodReport: EvaluationReport, Sendable {
  /// The model, the data, and how they were measured.
  public let subject: EvaluationSubject
  /// The bound of each image, and at each t.
  public let statistics: BoundStatistics

  /// Of what was measured, and what came of it.
  public init(_ subject: EvaluationSubject, _ statistics: BoundStatistics) {
    self.subject = subject
    self.statistics = statistics
  }

  /// The bound and its parts, with the keys of the JSON file.
  public var parts: [(key: String, name: String, moments: Moments)] {
    [
      ("prior", "prior L_T", statistics.prior), ("diffusion", "diffusion ΣL_{t−1}", statistics.diffusion),
      ("reconstruction", "reconstruction L_0", statistics.reconstruction),
      ("bits_per_dim", "bits/dim", statistics.total),
    ]
  }

  /// `bits_per_dim`, `prior`, `diffusion`, `reconstruction`, each with `_standard_error` and `_confidence_95`; `images`, `split`,
  /// `variance`, …; `per_image` and `per_timestep`.
  public var json: JSONValue {
    var object = subject.json
    object["metric"] = "likelihood"
    object.merge(partsJSON) { _, new in new }
    let visited = statistics.visited
    object["per_timestep"] = .object([
      "t": .array(visited.map { .integer($0.number) }),
      "images": .array(visited.map { .integer(statistics[$0].bits.count) }),
      "bits_per_dim": .array(visited.map { .finite(statistics[$0].bits.mean) }),
      "bits_per_dim_standard_error": .array(visited.map { .finite(statistics[$0].bits.standardError) }),
      "epsilon_mse": .array(visited.map { .finite(statistics[$0].εError.mean) }),
      "epsilon_mse_standard_error": .array(visited.map { .finite(statistics[$0].εError.standardError) }),
      "x0_mse": .array(visited.map { .finite(statistics[$0].x0Error.mean) }),
      "x0_mse_standard_error": .array(visited.map { .finite(statistics[$0].x0Error.standardError) }),
    ])
    return .object(object)
  }

  fileprivate var partsJSON: [String: JSONValue] {
    var object: [String: JSONValue] = ["images": .integer(statistics.images.count)]
    for part in parts {
      object[part.key] = .finite(part.moments.mean)
      object[part.key + "_standard_error"] = .finite(part.moments.standardError)
      let (mean, half) = (part.moments.mean, part.moments.confidence95)
      object[part.key + "_confidence_95"] = half.isFinite ? [.number(mean - half), .number(mean + half)] : .null
    }
    object["per_image"] = .object([
      "bits_per_dim": .array(statistics.images.map { .finite($0.total) }),
      "prior": .array(statistics.images.map { .finite($0.prior) }),
      "diffusion": .array(statistics.images.map { .finite($0.diffusion) }),
      "reconstruction": .array(statistics.images.map { .finite($0.reconstruction) }),
    ])
    return object
  }

  /// L_{t−1} over t, and the two squared errors.
  public var plot: PlotRow {
    let visited = statistics.visited
    let t = visited.map { Double($0.number) }
    let style: Plot.Style = subject.timesteps < subject.T ? .points : .line
    var bits = Plot(
      title: "Terms of the bound", x: "timestep t", y: "L(t−1) (bits/dim); at t = 1 L(0)", yScale: .logarithmic)
    let terms = visited.map { statistics[$0].bits }
    bits.series = [.init("L(t−1)", x: t, y: terms.map(\.mean), spread: spread(terms), style: style)]
    var errors = Plot(
      title: "Squared errors", x: "timestep t", y: "mean squared error, data in [−1, 1]", yScale: .logarithmic)
    let (ε, x0) = (visited.map { statistics[$0].εError }, visited.map { statistics[$0].x0Error })
    errors.series = [
      .init("of ε", x: t, y: ε.map(\.mean), spread: spread(ε), style: style),
      .init("of x0", x: t, y: x0.map(\.mean), spread: spread(x0), style: style),
    ]
    return PlotRow([bits, errors])
  }
}

/// Rate and distortion of progressive coding (Ho et al. 2020, section 4.3): the results of `ddpm evaluate --metric rate-distortion`.
public struct RateDistortionReport: EvaluationReport, Sendable {
  /// The state of the receiver who has got x_T, …, x_t.
  public struct Point: Sendable, Equatable {
    /// The t of the last x_t that has arrived.
    public let t: Timestep
    /// T − t.
    public let reverseSteps: Int
    /// L_T + Σ_{s>t} L_{s−1}, bits a dimension.
    public let rate: Double
    /// The standard error of ``rate``.
    public let rateError: Double
    /// √(‖x_0 − x̂_0(x_t)‖² / D), the mean under the root over all images, on the scale of 0…255.
    public let rmse: Double
    /// The standard error of ``rmse``.
    public let rmseError: Double
  }

  /// The model, the data, and how they were measured.
  public let subject: EvaluationSubject
  /// The bound of each image, and at each t.
  public let statistics: BoundStatistics

  /// Of what was measured, and what came of it.
  public init(_ subject: EvaluationSubject, _ statistics: BoundStatistics) {
    self.subject = subject
    self.statistics = statistics
  }

  /// From x_T to x_1.
  public var points: [Point] {
    statistics.visited.reversed().map { t in
      let at = statistics[t]
      // [−1, 1] has 127.5 levels of 0…255 a unit; d√m = dm / 2√m
      let rmse = 127.5 * at.x0Error.mean.squareRoot()
      return Point(
        t: t, reverseSteps: subject.T - t.number, rate: at.rate.mean, rateError: at.rate.standardError, rmse: rmse,
        rmseError: 127.5 * at.x0Error.standardError / (2 * at.x0Error.mean.squareRoot()))
    }
  }

  /// Also the bound with its parts, which are what sending everything costs.
  public var json: JSONValue {
    var object = subject.json
    object["metric"] = "rate-distortion"
    object.merge(LikelihoodReport(subject, statistics).partsJSON) { _, new in new }
    let points = points
    object["per_timestep"] = .object([
      "t": .array(points.map { .integer($0.t.number) }),
      "reverse_steps": .array(points.map { .integer($0.reverseSteps) }),
      "rate": .array(points.map { .finite($0.rate) }),
      "rate_standard_error": .array(points.map { .finite($0.rateError) }),
      "rmse": .array(points.map { .finite($0.rmse) }),
      "rmse_standard_error": .array(points.map { .finite($0.rmseError) }),
    ])
    return .object(object)
  }

  /// The three panels of the paper's figure 5.
  public var plot: PlotRow {
    let points = points
    let steps = points.map { Double($0.reverseSteps) }
    let (rates, rmse) = (points.map(\.rate), points.map(\.rmse))
    let (rateSpread, rmseSpread) = (points.map(\.rateError), points.map(\.rmseError))
    func series(_ x: [Double], _ y: [Double], _ spread: [Double]) -> [Plot.Series] {
      [.init("", x: x, y: y, spread: spread.allSatisfy(\.isFinite) ? spread.map { 1.96 * $0 } : [])]
    }
    let size = (width: 560, height: 440)
    return PlotRow([
      Plot(
        title: "Distortion", x: "reverse steps (T − t)", y: "RMSE (0-255)", series: series(steps, rmse, rmseSpread),
        width: size.width, height: size.height),
      Plot(
        title: "Rate", x: "reverse steps (T − t)", y: "rate (bits/dim)", series: series(steps, rates, rateSpread),
        width: size.width, height: size.height),
      Plot(
        title: "Distortion over rate", x: "rate (bits/dim)", y: "RMSE (0-255)",
        series: series(rates, rmse, rmseSpread), width: size.width, height: size.height),
    ])
  }
}

extension BoundStatistics {
  /// The t at which there are values, ascending.
  public var visited: [Timestep] {
    timesteps.indices.filter { timesteps[$0].bits.count > 0 }.map(Timestep.init(zeroBased:))
  }
}

/// A band of 95% where all have a spread.
private func spread(_ moments: [Moments]) -> [Double] {
  let halves = moments.map(\.confidence95)
  return halves.allSatisfy(\.isFinite) ? halves : []
}

extension X0Limit {
  /// In the words of diffusers' schedulers; null for none.
  var json: JSONValue {
    switch self {
    case .none: .null
    case .clip(let bound): .object(["clip_sample_range": .number(bound)])
    case .dynamic(let ratio, let maximum):
      .object(["dynamic_thresholding_ratio": .number(ratio), "sample_max_value": .number(maximum)])
    }
  }
}

extension JSONValue {
  /// A number, or null where there is none: JSON has no NaN.
  static func finite(_ value: Double) -> JSONValue { value.isFinite ? .number(value) : .null }

  /// A seed; beyond 2⁶³ as text.
  static func exact(_ value: UInt64) -> JSONValue { Int(exactly: value).map(JSONValue.integer) ?? .string("\(value)") }
}
