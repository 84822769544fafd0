import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What a run tells whoever watches it.
public enum TrainingEvent: Sendable {
  /// All is ready; the first step follows.
  case prepared(TrainingSummary)
  /// One line about something that is odd but does not stop the run.
  case warning(String)
  /// After every step.
  case step(StepReport)
  /// After a line was added to `metrics.jsonl`.
  case logged(Metrics)
  /// After a checkpoint and the model were written: the checkpoint's folder.
  case checkpoint(URL)
  /// After a grid of samples was written: the PNG file.
  case samples(URL)
  /// After the last step: where the run is, and the model's directory.
  case finished(TrainingState, model: URL)
}

/// What will be trained, known before the first step.
public struct TrainingSummary: Sendable {
  /// The data in words: its name, size and classes.
  public let data: String
  /// Numbers in the network.
  public let parameterCount: Int
  /// The engine in words.
  public let backend: String
  /// What the training step and the evaluation of the average hold.
  public let memory: MemoryPlan
  /// What lies beside it: the data, batches made ahead, and the process itself.
  public let hostMemory: Int
  /// Steps that were done before; 0 for a new run.
  public let firstStep: Int
  /// Steps of the whole run.
  public let steps: Int
  /// Images of each step.
  public let batchSize: Int
  /// The processes that compute it together.
  public let ranks: Int
  /// The machines they are on.
  public let hosts: Int
  /// Parts of a batch, which they share.
  public let parts: Int
}

/// One step.
public struct StepReport: Sendable {
  /// Counted from 1.
  public let step: Int
  /// Steps of the whole run.
  public let steps: Int
  /// The mean over the batch of what is minimised.
  public let loss: Double
  /// Its running mean over about 50 steps.
  public let smoothedLoss: Double
  /// Before clipping.
  public let gradientNorm: Double
  /// Over the last steps.
  public let imagesPerSecond: Double
  /// Until the last step.
  public let secondsLeft: Double
}
