import Diffusers
import Files
import Networks
import TensorGraph

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
  public var seed = 0

  enum CodingKeys: String, CodingKey {
    case step, cursor, threads, seed
    case smoothedLoss = "smoothed_loss"
    case bestLoss = "best_loss"
  }
}

/// A checkpoint's folder: `weights`, `adam_m`, `adam_v` and `ema` as safetensors files, `state.json`, and with importance sampling
/// `timesteps.safetensors`.
struct Checkpoint {
  let folder: URL

  private static let tensors: [(file: String, prefix: String)] = [
    ("weights", ""), ("adam_m", StateName.m), ("adam_v", StateName.v), ("ema", StateName.ema),
  ]

  /// Fills the folder with what the executable holds.
  static func write(
    _ state: TrainingState, _ executable: any Executable, network: UNetConfig, history: LossHistory?, to folder: URL
  ) throws {
    for (file, prefix) in tensors {
      let weights = try NetworkWeights.sources(in: executable, of: network, prefix: prefix)
      try Safetensors.write(weights, to: folder.appending(path: "\(file).safetensors"))
    }
    if let history {
      try Safetensors.write(
        [
          NamedTensor("losses", shape: [history.T, LossHistory.depth], floats: history.losses),
          NamedTensor("counts", shape: [history.T], integers: history.counts),
        ], to: folder.appending(path: "timesteps.safetensors"))
    }
    let json = try JSONValue(parsing: Array(JSONEncoder().encode(state)))
    try AtomicFile.write(json.canonicalText, to: folder.appending(path: "state.json"))
  }

  /// - Throws: ``TrainingError`` where the file is not one of ours.
  func state() throws -> TrainingState {
    let url = folder.appending(path: "state.json")
    let state: TrainingState
    do { state = try JSONDecoder().decode(TrainingState.self, from: Data(FileBytes.read(url.path, limit: 1 << 20))) } catch let error
      as DecodingError
    {
      throw TrainingError.damagedCheckpoint(folder.path, "state.json: \(error)")
    }
    // Room to count on from there.
    let counts = 0...(1 << 62)
    for (key, value) in [("step", state.step), ("cursor", state.cursor), ("seed", state.seed)]
    where !counts.contains(value) {
      throw TrainingError.damagedCheckpoint(folder.path, "state.json: \(key) is \(value)")
    }
    return state
  }

  /// Gives the executable what the folder holds.
  func load(into executable: any Executable, network: UNetConfig) throws {
    for (file, prefix) in Self.tensors {
      let url = folder.appending(path: "\(file).safetensors")
      try NetworkWeights(SafetensorsFile(contentsOf: url), for: network).load(into: executable, prefix: prefix)
    }
  }

  func history(T: Int) throws -> LossHistory {
    let file = try SafetensorsFile(contentsOf: folder.appending(path: "timesteps.safetensors"))
    let (losses, counts) = (try file.floats("losses"), try file.integers("counts"))
    guard losses.count == T * LossHistory.depth, counts.count == T, counts.allSatisfy((0...LossHistory.depth).contains)
    else { throw TrainingError.damagedCheckpoint(folder.path, "timesteps.safetensors is not of \(T) timesteps") }
    return LossHistory(T: T, losses: losses, counts: counts)
  }
}
