import Diffusers
import Files
import Networks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A checkpoint's folder: `weights`, `adam_m`, `adam_v` and `ema` as safetensors files, `state.json`, and with importance sampling
/// `timesteps.safetensors`.
enum Checkpoint {
  fileprivate static let tensors: [(file: String, prefix: String)] = [
    ("weights", ""), ("adam_m", StateName.m), ("adam_v", StateName.v), ("ema", StateName.ema),
  ]

  /// Fills the folder with what the states hold.
  static func write(
    _ state: TrainingState, _ states: any States, network: any Architecture, history: LossHistory?,
    identity: [String: String], to folder: URL
  ) throws {
    for (file, prefix) in tensors {
      let weights = try network.parameters().map { parameter in
        TensorSource(parameter.name, shape: parameter.shape.dimensions) {
          let floats = try states.read(prefix + parameter.name).floats
          // A checkpoint of such numbers is worse than none.
          guard floats.allSatisfy(\.isFinite) else {
            throw TrainingError.weightsNotFinite(step: state.step, tensor: prefix + parameter.name, checkpoint: nil)
          }
          return floats
        }
      }
      try Safetensors.write(weights, to: folder.appending(path: "\(file).safetensors"))
    }
    if let history {
      try Safetensors.write(
        [
          NamedTensor("losses", shape: [history.T, LossHistory.depth], floats: history.losses),
          NamedTensor("counts", shape: [history.T], integers: history.counts),
        ], to: folder.appending(path: "timesteps.safetensors"))
    }
    try AtomicFile.write(state.json().canonicalText, to: folder.appending(path: "state.json"))
    var files = tensors.map { "\($0.file).safetensors" } + ["state.json"]
    if history != nil { files.append("timesteps.safetensors") }
    try Manifest(of: folder, files: files, identity: identity).write()
  }
}

/// A checkpoint that was found whole: its state is read, its tensors can be.
struct OpenCheckpoint {
  let folder: URL
  let state: TrainingState
  private let weights: [(prefix: String, weights: NetworkWeights)]

  /// - Throws: ``TrainingError/damagedCheckpoint(_:_:)`` where a file is not one of ours, and what opening the tensors throws.
  init(folder: URL, step: Int, network: any Architecture, identity: [String: String]) throws {
    self.folder = folder
    // Checkpoints of earlier versions have no manifest.
    if FileManager.default.fileExists(atPath: folder.appending(path: Manifest.fileName).path) {
      try Manifest(readingFrom: folder).verify(identity: identity)
    }
    let json = try FileBytes.read(folder.appending(path: "state.json").path, limit: 1 << 20)
    state = try TrainingState(json: json, checkpoint: folder.path)
    guard state.step == step else {
      throw TrainingError.damagedCheckpoint(folder.path, "state.json: step is \(state.step)")
    }
    weights = try Checkpoint.tensors.map { file, prefix in
      let file = try SafetensorsFile(contentsOf: folder.appending(path: "\(file).safetensors"))
      return (prefix, try NetworkWeights(file, for: network))
    }
  }

  /// Gives the states what the folder holds, as far as they are wanted.
  func load(into states: any States, where isWanted: (String) -> Bool = { _ in true }) throws {
    for (prefix, weights) in weights { try weights.load(into: states, prefixes: [prefix], where: isWanted) }
  }

  func history(T: Int) throws -> LossHistory {
    let file = try SafetensorsFile(contentsOf: folder.appending(path: "timesteps.safetensors"))
    let (losses, counts) = (try file.floats("losses"), try file.integers("counts"))
    guard losses.count == T * LossHistory.depth, counts.count == T, counts.allSatisfy((0...LossHistory.depth).contains)
    else { throw TrainingError.damagedCheckpoint(folder.path, "timesteps.safetensors is not of \(T) timesteps") }
    return LossHistory(T: T, losses: losses, counts: counts)
  }
}
