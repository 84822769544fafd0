import Datasets
import Diffusers
import Diffusion
import Files
import Networks
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

// Training on from a model: what it decides, and what has to agree with it.

extension TrainingConfiguration {
  /// What a model's scheduler decides, as a layer that lies over a preset and under what the user sets: a network that was trained to
  /// predict v is not trained on as if it predicted ε.
  ///
  /// - Throws: what reading the model's configuration throws.
  public static func layer(ofModel directory: URL) throws -> (source: String, object: [String: JSONValue]) {
    guard let scheduler = try PipelineDirectory(readingConfigurationOf: directory).scheduler() else {
      return (directory.path, [:])
    }
    var object: [String: JSONValue] = [
      "timesteps": .integer(scheduler.T), "beta_schedule": .string(scheduler.betaSchedule.rawValue),
      "betas": scheduler.betas.map { .array($0.map { .number($0) }) } ?? .null,
      "beta_start": .number(scheduler.betaStart), "beta_end": .number(scheduler.betaEnd), "rescale_betas": false,
      "zero_terminal_snr": .bool(scheduler.zeroTerminalSNR), "prediction": .string(scheduler.prediction.rawValue),
    ]
    if scheduler.saysVariance { object["variance"] = .string(scheduler.variance.rawValue) }
    if scheduler.variance.isLearned { object["loss"] = "hybrid" }
    return (directory.path, object)
  }

  /// The model's scheduler, as the one to train with and to write.
  ///
  /// - Parameters:
  ///   - model: nil where the model has none: then it is what the configuration says.
  ///   - resumes: Whether `path` is the run itself, whose scheduler nobody should have changed.
  /// - Throws: ``ConfigurationError`` naming the key in which the configuration differs from it.
  func agreed(
    with model: SchedulerConfig?, of path: String, resumes: Bool = false
  ) throws(ConfigurationError) -> SchedulerConfig {
    let wanted = scheduler
    guard let model else { return wanted }
    var scheduler = SamplerChoice.ddpm.scheduler(for: model)
    // A fixed variance at zero SNR was once written as the larger one; it does not enter training.
    let isOlder = model.zeroTerminalSNR && (model.variance, wanted.variance) == (.fixedLarge, .fixedSmall)
    if !model.saysVariance || isOlder { scheduler.variance = wanted.variance }
    let (found, ours) = (scheduler.members, wanted.members)
    for (key, name) in [
      ("timesteps", "num_train_timesteps"), ("beta_schedule", "beta_schedule"), ("beta_start", "beta_start"),
      ("beta_end", "beta_end"), ("betas", "trained_betas"), ("zero_terminal_snr", "rescale_betas_zero_snr"),
      ("prediction", "prediction_type"),
      ("variance", "variance_type"),
    ] where found[name] != ours[name] {
      let (mine, its) = ((ours[name] ?? .null).compactText, (found[name] ?? .null).compactText)
      guard !resumes else {
        throw ConfigurationError(
          "\(path)/scheduler/scheduler_config.json: \(name) is \(its), and the run was begun with \(mine): restore it")
      }
      throw ConfigurationError(
        "\(key) is \(mine), and the model \(path) was trained with \(its): leave out \(key)\(rescaleBetas && key.hasPrefix("beta_") ? " and rescale_betas" : ""), or train a new model"
      )
    }
    return scheduler
  }

  /// Takes a model's network as it is, if it fits the data and the objective.
  ///
  /// - Parameter card: what the network's condition means.
  mutating func adopt(
    _ network: any StoredArchitecture, _ card: ModelCard, from path: String, data: Dataset
  ) throws -> any StoredArchitecture {
    let shape = data.shape
    guard network.channels == shape.channels else {
      throw ConfigurationError(
        "\(path): the network takes \(network.channels) channels and the data has \(shape.channels): "
          + "choose channels \(network.channels)", key: CodingKeys.channels.rawValue)
    }
    guard network.outChannels == variance.outChannels(shape.channels) else {
      throw ConfigurationError(
        "\(path): \(network.outChannels) output channels do not fit variance \(variance.rawValue) of \(shape.channels)-channel data",
        key: CodingKeys.variance.rawValue)
    }
    if let count = network.classCount(card) {
      guard (1...count).contains(data.classes.count) else {
        throw ConfigurationError(
          "\(path): knows \(count) classes and the data has \(data.classes.isEmpty ? "no labels" : "\(data.classes.count)")"
        )
      }
    }
    classes = network.classRows != nil
    // Only a network with a null class can learn to do without a class.
    conditionDropout = card.nullClass == nil ? 0 : conditionDropout
    if case .superResolution(let scale) = card.pictures {
      superResolutionScale = scale
    } else {
      superResolutionScale = nil
    }
    do { try network.validate(height: shape.height, width: shape.width) } catch {
      throw ConfigurationError("\(data.name): \(error) (image_size resizes)", key: CodingKeys.imageSize.rawValue)
    }
    guard var unet = network as? UNetConfig else { return network }
    guard unet.timeEmbedding == .positional else {
      throw TrainingError.unsupportedNetwork("\(path): networks with a Fourier time embedding are not trained here")
    }
    guard unet.classEmbedding == nil || unet.classRows != nil else {
      throw TrainingError.unsupportedNetwork("\(path): only class embeddings by a learned table are trained here")
    }
    blockOutChannels = unet.blockOutChannels
    attentionResolutions = unet.attentionSides(of: shape)
    layersPerBlock = unet.layersPerBlock
    attentionHeadChannels = unet.attentionHeadChannels
    normGroups = unet.normGroups
    unet.dropout = dropout
    unet.sampleSize = .init(height: shape.height, width: shape.width)
    return unet
  }
}

extension SchedulerConfig {
  /// Whether a file of this class has a variance: DDIM's has none, and DPM-Solver's only a learned one.
  fileprivate var saysVariance: Bool { kind == .ddpm || variance.isLearned }
}

extension UNetConfig {
  /// The sides of the levels that have self-attention. Level i works at side / 2ⁱ.
  package func attentionSides(of shape: ImageShape) -> [Int] {
    downBlocks.indices.filter { downBlocks[$0] == .attention }.map { max(shape.height, shape.width) >> $0 }
  }
}
