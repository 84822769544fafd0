import Diffusion
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What cloning experiments have shown so far: at each level, how far the two copies of each trajectory end apart, and whether in one class.
public struct CloningStatistics: Sendable, Equatable {
  /// Where copies were made, from noise to data.
  public let levels: [Timestep]
  /// ‖x_0 − x_0'‖² of each trajectory, for each of the levels.
  public internal(set) var distances: [[Double]]
  /// Whether x_0 and x_0' are of one class; empty where no classes are told apart.
  public internal(set) var agreements: [[Bool]]

  /// Nothing seen yet, at the levels where copies begin.
  public init(at levels: [Timestep]) {
    self.levels = levels
    distances = levels.map { _ in [] }
    agreements = levels.map { _ in [] }
  }

  /// Trajectories so far.
  public var count: Int { distances.first?.count ?? 0 }

  /// φ at each of the levels: the share of trajectories whose copies end in one class; nil without classes.
  public var agreement: [Measured]? {
    guard count > 0, agreements.allSatisfy({ $0.count == count }) else { return nil }
    return agreements.map { Measured(mean: $0.map { $0 ? 1 : 0 }) }
  }

  /// How much the copies share at each of the levels: 1 where they end in one point, 0 where they end as far apart as two of the data.
  ///
  /// - Parameter totalVariance: tr of the data's covariance; two independent points have a mean squared distance of twice that.
  public func likeness(totalVariance: Double) -> [Measured] {
    // 1 − E‖x_0 − x_0'‖² / (2 tr Σ)
    distances.map { Measured(mean: $0.map { 1 - $0 / (2 * totalVariance) }) }
  }
}

// MARK: - On disk

extension CloningStatistics {
  private static let format = "ddpm-cloning-1"

  /// Reads what was written for the same experiment.
  ///
  /// - Throws: ``EvaluationError`` where the file is damaged or of another experiment, or `FileError`.
  public init(reading url: URL, expecting identity: [String: JSONValue], at levels: [Timestep]) throws {
    let object = try EvaluationState.object(reading: url, format: Self.format, expecting: identity)
    func damaged(_ problem: String) -> EvaluationError { .damagedState(url.path, problem) }
    self.init(at: levels)
    guard let distances = object["distances"]?.array, let agreements = object["agreements"]?.array,
      distances.count == levels.count, agreements.count == levels.count
    else { throw damaged("it is not of \(levels.count) levels") }
    self.distances = try distances.map {
      guard let row = $0.array, case let values = row.compactMap(\.double), values.count == row.count else {
        throw damaged("a distance")
      }
      return values
    }
    self.agreements = try agreements.map {
      guard let row = $0.array, case let values = row.compactMap(\.bool), values.count == row.count else {
        throw damaged("an agreement")
      }
      return values
    }
    guard self.distances.allSatisfy({ $0.count == count }),
      self.agreements.allSatisfy({ $0.count == self.agreements.first?.count ?? 0 && [0, count].contains($0.count) })
    else { throw damaged("its levels have different numbers of trajectories") }
  }

  /// Writes the statistics, whole or not at all.
  public func write(to url: URL, identity: [String: JSONValue]) throws {
    let object: [String: JSONValue] = [
      "format": .string(Self.format), "identity": .object(identity),
      "distances": .array(distances.map { .array($0.map { .number($0) }) }),
      "agreements": .array(agreements.map { .array($0.map { .bool($0) }) }),
    ]
    try AtomicFile.write(JSONValue.object(object).compactText + "\n", to: url)
  }
}
