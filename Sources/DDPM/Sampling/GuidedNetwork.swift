import Diffusion
import Networks
import TensorGraph

/// A model's network as a request asks it: alone, or drawn away from a worse prediction.
///
/// Where the class is dropped for that, both predictions of a batch are one run of a network that was compiled for twice the batch.
public struct GuidedNetwork: Sendable {
  /// For the whole question.
  public let network: NetworkDenoiser
  /// For the questions that no guidance doubles: those outside its interval.
  private let single: NetworkDenoiser
  private let weaker: NetworkDenoiser?
  private let guidance: Guidance?
  /// Of the whole question, whatever the network takes at once.
  private let batchSize: Int

  init(
    _ network: NetworkDenoiser, batchSize: Int, single: NetworkDenoiser? = nil, weaker: NetworkDenoiser? = nil,
    guidance: Guidance? = nil
  ) {
    self.network = network
    self.batchSize = batchSize
    self.single = single ?? network
    self.weaker = weaker
    self.guidance = guidance
  }

  /// Where the bytes of all its networks go.
  public var memoryPlan: MemoryPlan {
    let own = network.executable.memoryPlan
    let both = single === network ? own : own.with(single.executable.memoryPlan)
    return weaker.map { both.beside($0.executable.memoryPlan) } ?? both
  }

  /// The memory of batches on the host, with the program and its libraries: x_t, x̂_0, predictions and the few of them that a
  /// sampler remembers.
  public var hostMemory: Int {
    let channels = network.architecture.channels + network.architecture.pictureChannels
    return 80 << 20 + 16 * batchSize * channels * size.height * size.width * MemoryLayout<Float>.stride
  }

  /// Height and width of samples.
  public var size: SampleSize { network.size }

  /// What a chain of this schedule asks.
  public func denoiser(_ schedule: NoiseSchedule) -> any Denoiser {
    guard let guidance else { return network }
    let (network, single) = (network, single)
    let either = DenoiserFunction { xt, t, condition in
      try (xt.shape.count <= single.batchSize ? single : network).predict(xt, at: t, given: condition)
    }
    return Guided(either, by: guidance, schedule: schedule, weaker: weaker)
  }
}

extension Model {
  /// The network as guidance asks it.
  ///
  /// - Parameters:
  ///   - batchSize: of samples; the network may be compiled for twice as many.
  ///   - size: nil for the model's own.
  ///   - guidance: nil for the network as it is.
  ///   - weaker: takes the place of the network without class.
  /// - Throws: ``SamplingError/noNullClass`` where there is no class to drop and no weaker model, ``GuidanceRequestError``, and what
  ///   compiling throws.
  public func guidedNetwork(
    batchSize: Int, size: SampleSize? = nil, by guidance: Guidance?, weaker: Model? = nil
  ) throws -> GuidedNetwork {
    guard let guidance, guidance.scale != 1 else {
      guard weaker == nil else { throw GuidanceRequestError.weakerWithoutScale }
      return GuidedNetwork(try denoiser(batchSize: batchSize, size: size), batchSize: batchSize)
    }
    if let weaker {
      try check(weaker)
      let network = try denoiser(batchSize: batchSize, size: size)
      return GuidedNetwork(
        network, batchSize: batchSize, weaker: try weaker.denoiser(batchSize: batchSize, size: network.size),
        guidance: guidance)
    }
    guard card.nullClass != nil, classCount != nil else { throw SamplingError.noNullClass }
    let isEverywhere = guidance.interval == 0...Double.infinity
    return GuidedNetwork(
      try denoiser(batchSize: 2 * batchSize, size: size), batchSize: 2 * batchSize,
      single: isEverywhere ? nil : try denoiser(batchSize: batchSize, size: size), guidance: guidance)
  }

  /// That two models answer the same question in the same terms.
  private func check(_ weaker: Model) throws(GuidanceRequestError) {
    func same(_ what: String, _ own: String, _ other: String) throws(GuidanceRequestError) {
      guard own == other else { throw .otherModel(weaker.directory.path, what: what, found: other, wanted: own) }
    }
    func text(_ count: Int?) -> String { count.map(String.init) ?? "none" }
    try same("prediction", scheduler.prediction.rawValue, weaker.scheduler.prediction.rawValue)
    try same("T", "\(scheduler.T)", "\(weaker.scheduler.T)")
    try same("channels", "\(architecture.channels)", "\(weaker.architecture.channels)")
    try same("channels of pictures", "\(architecture.pictureChannels)", "\(weaker.architecture.pictureChannels)")
    try same("classes", text(classCount), text(weaker.classCount))
  }
}

/// Guidance that cannot be had.
public enum GuidanceRequestError: Error, Equatable, Sendable, CustomStringConvertible {
  case weakerWithoutScale
  case otherModel(String, what: String, found: String, wanted: String)

  public var description: String {
    switch self {
    case .weakerWithoutScale:
      "a weaker model is compared with only where the guidance scale is not 1: give one, such as 2"
    case .otherModel(let path, let what, let found, let wanted):
      "\(path) cannot be the weaker model: its \(what) is \(found), not \(wanted): name one that was trained alike"
    }
  }
}
