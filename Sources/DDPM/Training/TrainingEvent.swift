import Diffusion
import Networks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What a run tells whoever watches it.
public enum TrainingEvent: Sendable {
  case prepared(TrainingSummary)
  case warning(String)
  case step(StepReport)
  case logged(Metrics)
  case checkpoint(URL)
  case samples(URL)
  case finished(TrainingState, model: URL)
}

/// What will be trained, known before the first step.
public struct TrainingSummary: Sendable {
  public let data: String
  public let parameterCount: Int
  public let backend: String
  /// What the training step and the evaluation of the average hold.
  public let memory: MemoryPlan
  /// What lies beside it: the data, batches made ahead, and the process itself.
  public let hostMemory: Int
  public let firstStep: Int
  public let steps: Int
  public let batchSize: Int
}

/// One step.
public struct StepReport: Sendable {
  /// Counted from 1.
  public let step: Int
  public let steps: Int
  public let loss: Double
  public let smoothedLoss: Double
  public let gradientNorm: Double
  /// Over the last steps.
  public let imagesPerSecond: Double
  /// Until the last step.
  public let secondsLeft: Double
}
