import Datasets
import Diffusers
import Diffusion
import Networks
import Pictures
import Platform
import TensorGraph

extension TrainingConfiguration {
  /// Checks the numbers that no other part checks.
  ///
  /// - Throws: ``ConfigurationError``.
  public func validate() throws(ConfigurationError) {
    func require(_ key: CodingKeys, _ value: some Any, _ condition: Bool, _ wanted: String) throws(ConfigurationError) {
      if !condition { throw ConfigurationError("\(key.rawValue) is \(value); it must be \(wanted)", key: key.rawValue) }
    }
    func count(_ key: CodingKeys, _ value: Int, from least: Int = 1, to most: Int) throws(ConfigurationError) {
      try require(key, value, (least...most).contains(value), "\(least) to \(most)")
    }
    let many = 1 << 31 - 1
    try count(.timesteps, timesteps, to: 100_000)
    try count(.steps, steps, to: many)
    try count(.batchSize, batchSize, to: 1 << 20)
    try count(.accumulate, accumulate, to: batchSize)
    try require(
      .accumulate, accumulate, batchSize % accumulate == 0,
      "a divisor of \(batchSize), the batch's size: its parts are equal")
    try require(.learningRate, learningRate, learningRate > 0 && learningRate.isFinite, "positive, such as 2e-4")
    try count(.warmupSteps, warmupSteps, from: 0, to: many)
    try require(.adamBeta1, adamBeta1, (0..<1).contains(adamBeta1), "at least 0 and less than 1")
    try require(.adamBeta2, adamBeta2, (0..<1).contains(adamBeta2), "at least 0 and less than 1")
    try require(.adamEpsilon, adamEpsilon, adamEpsilon > 0, "positive")
    try require(.weightDecay, weightDecay, weightDecay >= 0 && weightDecay.isFinite, "0 or more")
    try require(.gradientClip, gradientClip, gradientClip >= 0 && gradientClip.isFinite, "positive, or 0 for no limit")
    try require(.emaDecay, emaDecay, (0..<1).contains(emaDecay), "at least 0 and less than 1")
    try require(.minSNRGamma, minSNRGamma, minSNRGamma > 0, "positive")
    try require(.seed, seed, seed >= 0, "0 or more")
    if let threads { try count(.threads, threads, to: 1024) }
    if let channels { try require(.channels, channels, channels == 1 || channels == 3, "1 or 3") }
    if let p = conditionDropout { try require(.conditionDropout, p, (0..<1).contains(p), "at least 0 and less than 1") }
    if let scale = superResolutionScale { try count(.superResolutionScale, scale, from: 2, to: 64) }
    try count(.mlpWidth, mlpWidth, to: 1 << 16)
    try count(.mlpLayers, mlpLayers, to: 1 << 10)
    try count(.logEvery, logEvery, to: many)
    try count(.checkpointEvery, checkpointEvery, to: many)
    try count(.keepCheckpoints, keepCheckpoints, to: 1 << 20)
    try count(.sampleEvery, sampleEvery, from: 0, to: many)
    try count(.sampleCount, sampleCount, to: 1024)
    try count(.sampleSteps, sampleSteps, to: timesteps)
    try require(.sampleGuidance, sampleGuidance, sampleGuidance.isFinite, "a number, such as 2")
    if sampleGuidance != 1 {
      try require(
        .sampleGuidance, sampleGuidance, classes && conditionDropout != 0,
        "1 where no class is dropped: guidance needs classes, and condition_dropout above 0")
    }
    if let betas {
      try require(.betas, "a list of \(betas.count)", betas.count == timesteps, "of \(timesteps), the timesteps")
    }
    try require(.prediction, prediction.rawValue, prediction != .mean, "epsilon, sample or v_prediction")
    try require(.variance, variance.rawValue, variance != .learned, "fixed_small, fixed_large or learned_range")
    try require(
      .loss, loss.rawValue, variance.isLearned == (loss == .hybrid),
      variance.isLearned
        ? "hybrid, which trains variance \(variance.rawValue)" : "another: hybrid is for variance learned_range")
  }

  /// What is minimised.
  var objective: Objective {
    switch loss {
    case .simple: .squaredError(.simple)
    case .minSNR: .squaredError(.minSNR(gamma: minSNRGamma))
    case .bound: .squaredError(.bound)
    case .hybrid: .hybrid()
    }
  }

  /// The scheduler that the pipeline directory describes.
  package var scheduler: SchedulerConfig {
    var scheduler = SchedulerConfig(.ddpm)
    scheduler.T = timesteps
    scheduler.betaSchedule = betaSchedule
    scheduler.betas = betas
    // Rules that are functions of t/T do not ask for them.
    let k = rescaleBetas ? 1000 / Double(timesteps) : 1
    scheduler.betaStart = k * betaStart
    scheduler.betaEnd = k * betaEnd
    scheduler.zeroTerminalSNR = zeroTerminalSNR
    // A model that has learned pure noise is to be started from it, which leading spacing, the default, leaves out.
    if zeroTerminalSNR { scheduler.spacing = .trailing }
    scheduler.prediction = prediction
    // diffusers adds the last step's noise too under trailing spacing, and β is far from small there.
    scheduler.variance = zeroTerminalSNR && variance == .fixedLarge ? .fixedSmall : variance
    return scheduler
  }

  /// The network for this data, and what its condition means.
  ///
  /// - Throws: ``ConfigurationError`` or `NetworkConfigError`, with the sizes that would work.
  package func network(_ data: Dataset) throws -> (any StoredArchitecture, ModelCard) {
    var card = ModelCard()
    var rows: Int?
    if classes {
      guard data.classes.count > 1 else {
        throw ConfigurationError(
          "\(data.name): has no class labels to condition on; leave out classes", key: CodingKeys.classes.rawValue)
      }
      card.classNames = data.classes
      rows = data.classes.count
      if conditionDropout ?? Self.usualConditionDropout > 0 {
        card.nullClass = data.classes.count
        rows = data.classes.count + 1
      }
    }
    if let superResolutionScale { card.pictures = .superResolution(scale: superResolutionScale) }
    return (data.shape.isPoint ? pointMLP(data, rows) : try unet(data, rows), card)
  }

  /// The probability of dropping a class where none is given.
  static let usualConditionDropout = 0.1

  private func pointMLP(_ data: Dataset, _ rows: Int?) -> PointMLPConfig {
    var config = PointMLPConfig(dimension: data.shape.channels)
    (config.width, config.layers, config.classRows) = (mlpWidth, mlpLayers, rows)
    config.learnsVariance = variance.isLearned
    return config
  }

  /// The paper's kind (sines first, pads right and bottom, ε 1e-6), of this size.
  private func unet(_ data: Dataset, _ rows: Int?) throws -> UNetConfig {
    let shape = data.shape
    var config = UNetConfig.paperCIFAR10
    config.sampleSize = .init(height: shape.height, width: shape.width)
    if let superResolutionScale {
      guard shape.height % superResolutionScale == 0, shape.width % superResolutionScale == 0 else {
        throw ConfigurationError(
          "super_resolution_scale is \(superResolutionScale); it must divide the sides of \(shape)",
          key: CodingKeys.superResolutionScale.rawValue)
      }
      config.pictureChannels = shape.channels
    }
    config.inChannels = shape.channels + config.pictureChannels
    config.outChannels = variance.outChannels(shape.channels)
    config.blockOutChannels = blockOutChannels
    config.layersPerBlock = layersPerBlock
    config.dropout = dropout
    config.normGroups = normGroups
    config.attentionHeadChannels = attentionHeadChannels
    config.classEmbedding = rows.map { .learned(count: $0) }
    // Level i works at side / 2ⁱ.
    let sides = blockOutChannels.indices.map { max(shape.height, shape.width) >> $0 }
    let attention = attentionResolutions ?? sides.suffix(1)
    config.downBlocks = sides.map { attention.contains($0) ? .attention : .plain }
    config.upBlocks = sides.reversed().map { attention.contains($0) ? .attention : .plain }
    try config.validate()
    do { try config.validate(height: shape.height, width: shape.width) } catch {
      throw ConfigurationError(
        "\(data.name): \(error.description) (image_size resizes)", key: CodingKeys.imageSize.rawValue)
    }
    guard attention.isEmpty || config.downBlocks.contains(.attention) else {
      throw ConfigurationError(
        "attention_resolutions \(attention.map(String.init).joined(separator: ", ")): no level of the network has such a side; "
          + "choose from \(sides.map(String.init).joined(separator: ", "))",
        key: CodingKeys.attentionResolutions.rawValue)
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

  /// What a resumed run may change: how long it is, what it records, and what may help where it diverged.
  static let changeable: Set<CodingKeys> = [
    .steps, .threads, .device, .precision, .learningRate, .warmupSteps, .gradientClip, .logEvery, .checkpointEvery,
    .keepCheckpoints,
    .sampleEvery, .sampleCount, .sampleSteps, .sampleGuidance, .data,
  ]
}

extension ImageShape {
  /// Whether samples are points of ℝᵈ: d channels and one pixel.
  var isPoint: Bool { height == 1 && width == 1 }
}
