import Diffusers
import Networks
import Ranks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension TrainingRun {
  /// Makes the directory ready, and for a new run draws the first weights.
  func begin() throws {
    if ranks.isFirst { directory.removeLeftovers() }
    guard !resumes else {
      if ranks.isFirst {
        try directory.create()
        try directory.write(configuration)
      }
      // The model may be of another step than the checkpoint, where the run was killed between the two.
      return try engine.onFirst(saveModel)
    }
    if ranks.isFirst {
      try directory.beginBirth(replacing: replaces)
      try directory.create()
    }
    try engine.start(
      from: initialWeights
        ?? NetworkWeights(
          initializing: network, by: configuration.initialization, seed: UInt64(configuration.seed)))
    initialWeights = nil
    // So that a run that is killed before its first checkpoint can be resumed, and its model opened.
    _ = try save()
    guard ranks.isFirst else { return }
    try directory.write(configuration)
    try directory.endBirth()
  }

  /// Writes a checkpoint, and the average as the model.
  func save() throws -> URL {
    try engine.onFirst { states in
      let last = directory.checkpoints.lastPath
      do {
        try directory.checkpoints.write(step: state.step) { folder in
          try Checkpoint.write(
            state, states, network: network, history: draw.importance, identity: identity, to: folder)
        }
      } catch TrainingError.weightsNotFinite(let step, let tensor, _) {
        throw TrainingError.weightsNotFinite(step: step, tensor: tensor, checkpoint: last)
      }
      try saveModel(states)
      directory.checkpoints.prune(keeping: configuration.keepCheckpoints)
    }
    return directory.checkpoints.url(step: state.step)
  }

  private func saveModel(_ states: any States) throws {
    let average = try NetworkWeights.sources(in: states, of: network, prefix: StateName.ema)
    try PipelineDirectory(network: network, scheduler: model.scheduler.members, card: engine.card)
      .write(average, to: directory.url, isChecksummed: true)
  }
}
