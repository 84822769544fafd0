import Diffusers
import Diffusion
import Files
import Networks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension PipelineDirectory {
  /// What the directory says of the scheduler; nil where it says nothing.
  ///
  /// - Throws: `SchedulerConfigError`.
  func scheduler() throws -> SchedulerConfig? {
    try schedulerJSON.map { try SchedulerConfig($0) }
  }
}

/// A pipeline that images are drawn from or measured with: what ``SamplingRun`` and ``EvaluationModel`` start from.
struct PipelineModel {
  let network: UNetConfig
  let scheduler: SchedulerConfig
  let weights: NetworkWeights

  /// - Throws: ``SamplingError`` where there is no scheduler or the network's classes are not a table, and what reading throws.
  init(_ directory: URL) throws {
    let (pipeline, weights) = try PipelineDirectory.load(directory)
    guard let scheduler = try pipeline.scheduler() else { throw SamplingError.noScheduler(directory.path) }
    switch pipeline.unet.classEmbedding {
    case nil, .learned: break
    default: throw SamplingError.unsupportedClasses
    }
    self.network = pipeline.unet
    self.scheduler = scheduler
    self.weights = weights
  }

  /// The reverse process of a scheduler for this network: its output is a prediction, and as many channels again for a learned variance.
  ///
  /// - Throws: ``SamplingError/variance(_:channels:outChannels:)``, and what the schedule throws.
  func process(_ scheduler: SchedulerConfig) throws -> ReverseProcess {
    let process = try scheduler.process()
    guard network.outChannels == process.variance.outChannels(network.inChannels) else {
      throw SamplingError.variance(
        process.variance.rawValue, channels: network.inChannels, outChannels: network.outChannels)
    }
    return process
  }
}

extension ReverseVariance {
  /// The channels of a network's output for images of some channels.
  func outChannels(_ channels: Int) -> Int { isLearned ? 2 * channels : channels }
}

extension UNetConfig {
  /// The classes of a condition as the network's table counts them; nil where it has none.
  ///
  /// - Throws: ``SamplingError`` where the network asks for a class and none is given, or the other way round.
  func labels(_ condition: Condition) throws(SamplingError) -> [Int32]? {
    guard case .learned(let count) = classEmbedding else {
      guard condition.classes == nil else { throw .noClasses }
      return nil
    }
    guard let classes = condition.classes else { throw .classMissing(classes: count) }
    var labels: [Int32] = []
    for label in classes {
      guard let label else { throw .classMissing(classes: count) }
      try check(label: label)
      labels.append(Int32(label))
    }
    return labels
  }

  /// - Throws: ``SamplingError/noClasses`` or ``SamplingError/label(_:classes:)`` where the network knows no class of this number.
  package func check(label: Int) throws(SamplingError) {
    guard case .learned(let classes) = classEmbedding else { throw .noClasses }
    guard (0..<classes).contains(label) else { throw .label(label, classes: classes) }
  }
}
