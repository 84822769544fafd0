import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Where a run is: everything but the tensors that a resumed run needs to go on as if nothing had happened.
public struct TrainingState: Codable, Equatable, Sendable {
  /// Steps done.
  public var step = 0
  /// Examples drawn.
  public var cursor = 0
  /// The running mean of the loss, for the eye.
  public var smoothedLoss: Double?
  /// The least mean loss between two log lines.
  public var bestLoss: Double?
  /// The threads that computed it; other numbers sum in other orders.
  public var threads = 1
  /// The `Backend.arithmetic` of what computed it; nil in runs that knew the processor alone.
  public var arithmetic: String?
  /// That of the configuration.
  public var seed = 0
  /// The sums since the last log line.
  var window: MetricsWindow?

  enum CodingKeys: String, CodingKey {
    case step, cursor, threads, arithmetic, seed, window
    case smoothedLoss = "smoothed_loss"
    case bestLoss = "best_loss"
  }
}

extension TrainingState {
  /// A checkpoint's `state.json`.
  package func json() throws -> JSONValue { try JSONValue(parsing: Array(JSONEncoder().encode(self))) }

  /// Reads what ``json()`` made, from the checkpoint at `path`.
  ///
  /// - Throws: ``TrainingError/damagedCheckpoint(_:_:)``.
  package init(json bytes: [UInt8], checkpoint path: String) throws(TrainingError) {
    func damaged(_ problem: String) -> TrainingError { .damagedCheckpoint(path, "state.json: \(problem)") }
    do { self = try JSONDecoder().decode(Self.self, from: Data(bytes)) } catch { throw damaged("\(error)") }
    // Room to count on from there.
    let counts = 0...(1 << 62)
    for (key, value) in [("step", step), ("cursor", cursor), ("seed", seed)] where !counts.contains(value) {
      throw damaged("\(key) is \(value)")
    }
    guard window?.isWhole ?? true else { throw damaged("window holds no sums") }
  }
}
