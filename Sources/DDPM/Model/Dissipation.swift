import Diffusion
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What each step of a model's forward process produces in entropy, as `ddpm thermodynamics --keep` measured it: a file of ours in the
/// model's directory, which diffusers does not look at.
public struct Dissipation: Sendable, Equatable {
  /// KL(q_{t−1} ‖ π) − KL(q_t ‖ π) in nats, not negative, at t = 1…T (index t − 1).
  public let production: [Double]
  /// What it was measured on, for people.
  public let data: String

  /// Entropy production in nats, at t = 1…T (index t − 1), and the name of the data that it was measured on.
  public init(production: [Double], data: String) {
    self.production = production
    self.data = data
  }

  private static let fileName = "dissipation.json"
  private static let format = "ddpm-dissipation-1"

  static func url(in directory: URL) -> URL { directory.appending(path: fileName) }

  /// Reads what a model's directory keeps.
  ///
  /// - Parameter T: the timesteps of the model.
  /// - Throws: ``SamplingError/noDissipation(_:)`` or ``SamplingError/dissipation(_:_:)``, or `FileError`.
  public init(ofModelIn directory: URL, T: Int) throws {
    let url = Self.url(in: directory)
    guard FileManager.default.fileExists(atPath: url.path) else { throw SamplingError.noDissipation(directory.path) }
    func damaged(_ problem: String) -> SamplingError { .dissipation(url.path, problem) }
    let root: JSONValue
    do { root = try JSONValue(parsing: FileBytes.read(url.path, limit: 64 << 20)) } catch let error as JSONError {
      throw damaged(error.description)
    }
    guard root.object?["format"]?.string == Self.format, let values = root.object?["production"]?.array else {
      throw damaged("it has another form")
    }
    guard values.count == T else { throw damaged("it is of \(values.count) timesteps, and the model has \(T)") }
    production = try values.map {
      guard let value = $0.double, value.isFinite, value >= 0 else {
        throw damaged("\($0.compactText) is no production of entropy")
      }
      return value
    }
    data = root.object?["data"]?.string ?? ""
  }

  /// Writes it into a model's directory, whole or not at all.
  ///
  /// - Returns: the file.
  @discardableResult public func write(toModelIn directory: URL) throws -> URL {
    let object: [String: JSONValue] = [
      "format": .string(Self.format), "data": .string(data), "production": .array(production.map { .number($0) }),
    ]
    let url = Self.url(in: directory)
    try AtomicFile.write(JSONValue.object(object).canonicalText, to: url)
    return url
  }

  /// A configuration for `ddpm train`: β whose steps all produce the same, between the ends of the schedule that was measured.
  ///
  /// - Throws: `ScheduleError` where nothing is produced over a whole range.
  public func training(_ schedule: NoiseSchedule) throws(ScheduleError) -> JSONValue {
    let shared = try schedule.sharing(production, T: schedule.T)
    return .object([
      "timesteps": .integer(shared.T), "betas": .array(shared.timesteps.map { .number(shared.β[$0]) }),
    ])
  }
}

extension Model {
  /// What the model's directory keeps of its entropy production.
  ///
  /// - Throws: ``SamplingError`` where it keeps none, or none of this model.
  public func dissipation() throws -> Dissipation { try Dissipation(ofModelIn: directory, T: scheduler.T) }
}

extension SamplingPlan {
  /// The same sampler at other levels.
  ///
  /// - Parameter levels: whole ones, from noise to data.
  /// - Throws: ``SamplingError/levels(_:T:)`` unless they fall, within 1…T.
  public func visiting(_ levels: [Timestep]) throws(SamplingError) -> SamplingPlan {
    let T = process.schedule.T
    guard let first = levels.first, let last = levels.last, first.number <= T, last.number >= 1,
      zip(levels, levels.dropFirst()).allSatisfy({ $0 > $1 })
    else { throw .levels(levels.map(\.number), T: T) }
    var plan = self
    plan.timesteps = levels
    return plan
  }

  /// The same sampler and number of levels, placed so that the steps between them share the entropy production equally.
  public func sharing(_ dissipation: Dissipation) throws -> SamplingPlan {
    try visiting(TimestepSpacing.sharing(dissipation.production, into: timesteps.count))
  }
}
