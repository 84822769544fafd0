import Datasets
import Diffusers
import Diffusion
import Networks
import TensorGraph

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

extension TrainingConfiguration {
  /// Checks the numbers that no other part checks.
  ///
  /// - Throws: ``ConfigurationError``.
  public func validate() throws(ConfigurationError) {
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(ConfigurationError) {
      if !condition { throw ConfigurationError(message()) }
    }
    func count(_ value: Int, _ name: String, from least: Int = 1, to most: Int) throws(ConfigurationError) {
      try require((least...most).contains(value), "\(name) is \(value); it must be \(least) to \(most)")
    }
    try count(timesteps, "timesteps", to: 100_000)
    try count(steps, "steps", to: 1 << 31 - 1)
    try count(batchSize, "batch-size", to: 1 << 20)
    try count(accumulate, "accumulate", to: batchSize)
    try require(
      batchSize % accumulate == 0,
      "a batch of \(batchSize) cannot be computed in \(accumulate) equal parts; choose a divisor of \(batchSize)")
    try require(
      learningRate > 0 && learningRate.isFinite, "learning-rate is \(learningRate); it must be positive, such as 2e-4")
    try count(warmupSteps, "warmup-steps", from: 0, to: 1 << 31 - 1)
    try require((0..<1).contains(adamBeta1), "adam-beta1 is \(adamBeta1); it must be at least 0 and less than 1")
    try require((0..<1).contains(adamBeta2), "adam-beta2 is \(adamBeta2); it must be at least 0 and less than 1")
    try require(adamEpsilon > 0, "adam-epsilon is \(adamEpsilon); it must be positive")
    try require(weightDecay >= 0 && weightDecay.isFinite, "weight-decay is \(weightDecay); it must not be negative")
    try require(
      gradientClip >= 0 && gradientClip.isFinite, "gradient-clip is \(gradientClip); it must be positive, or 0 for none"
    )
    try require((0..<1).contains(emaDecay), "ema-decay is \(emaDecay); it must be at least 0 and less than 1")
    try require(minSNRGamma > 0, "min-snr-gamma is \(minSNRGamma); it must be positive")
    try require(seed >= 0, "seed is \(seed); it must not be negative")
    if let threads { try count(threads, "threads", to: 1024) }
    if let channels { try require(channels == 1 || channels == 3, "channels is \(channels); it must be 1 or 3") }
    try count(logEvery, "log-every", to: 1 << 31 - 1)
    try count(checkpointEvery, "checkpoint-every", to: 1 << 31 - 1)
    try count(keepCheckpoints, "keep-checkpoints", to: 1 << 20)
    try count(sampleEvery, "sample-every", from: 0, to: 1 << 31 - 1)
    try count(sampleCount, "sample-count", to: 1024)
    try require(
      (1...timesteps).contains(sampleSteps),
      "sample-steps is \(sampleSteps); it must be 1 to the \(timesteps) timesteps")
    _ = try objective()
    guard WeightInitialization(rawValue: initialization) != nil else {
      throw Self.choice("initialization", initialization, WeightInitialization.allCases.map(\.rawValue))
    }
  }

  private static func choice(_ key: String, _ found: String, _ choices: [String]) -> ConfigurationError {
    ConfigurationError("\(key) is \(found); choose one of \(choices.joined(separator: ", "))")
  }

  /// What is minimised.
  func objective() throws(ConfigurationError) -> Objective {
    let variance = try reverseVariance()
    guard variance.isLearned == (loss == "hybrid") else {
      throw ConfigurationError(
        variance.isLearned
          ? "variance learned_range is trained by the hybrid loss: add loss hybrid"
          : "loss hybrid is for a learned variance: add variance learned_range")
    }
    switch loss {
    case "simple": return .squaredError(.simple)
    case "min_snr": return .squaredError(.minSNR(gamma: minSNRGamma))
    case "bound": return .squaredError(.bound)
    case "hybrid": return .hybrid()
    default: throw Self.choice("loss", loss, ["simple", "min_snr", "bound", "hybrid"])
    }
  }

  /// Σ_θ, of the kinds that are trained.
  func reverseVariance() throws(ConfigurationError) -> ReverseVariance {
    guard let variance = ReverseVariance(rawValue: variance), variance != .learned else {
      throw Self.choice("variance", self.variance, ["fixed_small", "fixed_large", "learned_range"])
    }
    return variance
  }

  /// The scheduler that the pipeline directory describes.
  package func scheduler() throws(ConfigurationError) -> SchedulerConfig {
    var scheduler = SchedulerConfig(.ddpm)
    scheduler.T = timesteps
    guard let rule = BetaSchedule.Name(alias: betaSchedule) else {
      throw Self.choice("beta_schedule", betaSchedule, BetaSchedule.Name.allCases.map(\.rawValue))
    }
    scheduler.betaSchedule = rule
    // Rules that are functions of t/T do not ask for them.
    let k = rescaleBetas ? 1000 / Double(timesteps) : 1
    scheduler.betaStart = k * betaStart
    scheduler.betaEnd = k * betaEnd
    scheduler.zeroTerminalSNR = zeroTerminalSNR
    // A model that has learned pure noise is to be started from it, which leading spacing, the default, leaves out.
    if zeroTerminalSNR { scheduler.spacing = .trailing }
    guard let prediction = Prediction(rawValue: prediction), prediction != .mean else {
      throw Self.choice("prediction", self.prediction, ["epsilon", "sample", "v_prediction"])
    }
    scheduler.prediction = prediction
    scheduler.variance = try reverseVariance()
    return scheduler
  }

  /// The network for data of this shape: the paper's kind (sines first, pads right and bottom, ε 1e-6), of this size.
  ///
  /// - Throws: ``ConfigurationError`` or `UNetConfigError`, with the sizes that would work.
  package func network(_ data: Dataset) throws -> UNetConfig {
    let shape = data.shape
    var config = UNetConfig.paperCIFAR10
    config.sampleSize = .init(height: shape.height, width: shape.width)
    config.inChannels = shape.channels
    config.outChannels = try reverseVariance().outChannels(shape.channels)
    config.blockOutChannels = blockOutChannels
    config.layersPerBlock = layersPerBlock
    config.dropout = dropout
    config.normGroups = normGroups
    config.attentionHeadChannels = attentionHeadChannels
    if classes {
      guard data.classes.count > 1 else {
        throw ConfigurationError("\(data.name): has no class labels to condition on; leave out classes")
      }
      config.classEmbedding = .learned(count: data.classes.count)
    }
    // Level i works at side / 2ⁱ.
    let sides = blockOutChannels.indices.map { max(shape.height, shape.width) >> $0 }
    let attention = attentionResolutions ?? sides.suffix(1)
    config.downBlocks = sides.map { attention.contains($0) ? .attention : .plain }
    config.upBlocks = sides.reversed().map { attention.contains($0) ? .attention : .plain }
    try config.validate()
    do { try config.validate(height: shape.height, width: shape.width) } catch {
      throw ConfigurationError("\(data.name): \(error.description) (image-size resizes)")
    }
    guard attention.isEmpty || config.downBlocks.contains(.attention) else {
      throw ConfigurationError(
        "attention-resolutions \(attention.map(String.init).joined(separator: ", ")): no level of the network has such a side; "
          + "choose from \(sides.map(String.init).joined(separator: ", "))")
    }
    return config
  }

  var adam: Adam {
    Adam(beta1: adamBeta1, beta2: adamBeta2, epsilon: adamEpsilon, weightDecay: weightDecay)
  }

  /// The learning rate of step k, counted from 1: linear warm-up, then constant or half a cosine.
  public func learningRate(step k: Int) -> Double {
    // η_k = η min(k / k_w, 1) · ½ (1 + cos(π (k − k_w)/(K − k_w)))
    let warmup = min(Double(k) / Double(max(1, warmupSteps)), 1)
    guard decay == .cosine, k > warmupSteps else { return learningRate * warmup }
    let progress = min(1, Double(k - warmupSteps) / Double(max(1, steps - warmupSteps)))
    return learningRate * 0.5 * (1 + cos(progress * Double.pi))
  }

  /// The decay of the average at step k, counted from 1: d, or min(d, (1 + k)/(10 + k)) with warm-up.
  public func emaDecay(step k: Int) -> Double {
    emaWarmup ? min(emaDecay, (1 + Double(k)) / (10 + Double(k))) : emaDecay
  }

  /// What a resumed run may change: how long it is, and what it records.
  static let changeable: Set<CodingKeys> = [
    .steps, .threads, .logEvery, .checkpointEvery, .keepCheckpoints, .sampleEvery, .sampleCount, .sampleSteps, .data,
  ]
}
