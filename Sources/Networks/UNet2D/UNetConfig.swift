/// What a U-Net is made of: the arguments of diffusers' `UNet2DModel`, with its defaults.
///
/// The network of Ho et al. 2020, appendix B, for CIFAR-10 (35.7 million parameters) is ``paperCIFAR10``.
public struct UNetConfig: Equatable, Sendable {
  // MARK: Images

  /// Height and width the network was made for; the network itself accepts others.
  public var sampleSize: SampleSize? = nil
  /// Channels of what goes in.
  public var inChannels = 3
  /// Of these, channels of a picture that the network is shown beside x_t (Saharia et al. 2022, SR3); diffusers does not record them.
  public var pictureChannels = 0
  /// Channels of the output: as many, or twice as many where the variance is learned.
  public var outChannels = 3
  /// Map inputs from [0, 1] to [−1, 1] first.
  public var centerInputSample = false

  // MARK: Levels

  /// One block per resolution, finest first; each but the last halves the image.
  public var downBlocks: [DownBlockKind] = [.plain, .attention, .attention, .attention]
  /// The blocks on the way back, coarsest first.
  public var upBlocks: [UpBlockKind] = [.attention, .attention, .attention, .plain]
  /// The block between them; false leaves it out.
  public var hasMidBlock = true
  /// Channels per resolution, finest first.
  public var blockOutChannels = [224, 448, 672, 896]
  /// Residual blocks per resolution on the way down; the way up has one more.
  public var layersPerBlock = 2
  /// Residual and attention outputs of the mid block are divided by this.
  public var midBlockScaleFactor = 1.0
  /// Zeros around the image before the strided convolution: 1 on every side, or 0 for one row below and one column to the
  /// right, as the paper's code has it.
  public var downsamplePadding = 1
  /// How blocks with attention halve the image; the others have their own way.
  public var downsampling = Resampling.convolution
  /// How blocks with attention double the image.
  public var upsampling = Resampling.convolution

  // MARK: Layers

  /// The probability with which a residual block's channel values are dropped in training.
  public var dropout = 0.0
  /// The nonlinearity of all blocks.
  public var activation = Activation.silu
  /// Groups of the group norms.
  public var normGroups = 32
  /// What the group norms add to the variance.
  public var normEpsilon = 1e-5
  /// How the time embedding enters a residual block.
  public var timeScaleShift = TimeConditioning.shift
  /// Channels per attention head; nil means a single head.
  public var attentionHeadChannels: Int? = 8
  /// Whether the mid block has attention.
  public var hasMidAttention = true
  /// Groups of the norm in the mid block's attention; nil means `normGroups`, or no norm under scale-shift.
  public var attentionNormGroups: Int? = nil

  // MARK: Time and class

  /// How t becomes a vector.
  public var timeEmbedding = TimeEmbedding.positional
  /// Channels of the time embedding; nil means four times those of the first level.
  public var timeEmbeddingChannels: Int? = nil
  /// Subtracted from the number of frequencies: 1 lets the slowest be exactly 1/10000, as in the paper's code.
  public var frequencyShift = 0.0
  /// Cosines first. The paper's code has sines first.
  public var cosinesFirst = true
  /// What class labels become; nil for a network without classes.
  public var classEmbedding: ClassEmbedding? = nil
  /// Only recorded: the number of timesteps that a learned time embedding would need.
  public var numTrainTimesteps: Int? = nil

  /// diffusers' defaults, which are not the paper's: see ``paperCIFAR10``.
  public init() {}

  /// Blocks on the way down, by diffusers' names.
  public enum DownBlockKind: String, CaseIterable, Sendable {
    case plain = "DownBlock2D"
    case attention = "AttnDownBlock2D"
    case resnet = "ResnetDownsampleBlock2D"
  }

  /// Blocks on the way up, by diffusers' names.
  public enum UpBlockKind: String, CaseIterable, Sendable {
    case plain = "UpBlock2D"
    case attention = "AttnUpBlock2D"
    case resnet = "ResnetUpsampleBlock2D"
  }

  /// How an image is halved or doubled: by a convolution, or within a residual block.
  public enum Resampling: String, CaseIterable, Sendable {
    case convolution = "conv"
    case resnet = "resnet"
  }

  /// How t becomes a vector.
  public enum TimeEmbedding: String, CaseIterable, Sendable {
    /// Sines and cosines of t at geometric frequencies, as in the paper.
    case positional
    /// Sines and cosines of log t at random frequencies; the output is divided by t (Song et al. 2021).
    case fourier
  }

  /// What class labels become before they are added to the time embedding.
  public enum ClassEmbedding: Equatable, Sendable {
    /// A learned vector for each of `count` classes.
    case learned(count: Int)
    /// A number, embedded as the timestep is, with its own two layers.
    case timestep
    /// A vector of the time embedding's size, added as it is.
    case identity
  }
}

extension UNetConfig {
  /// The paper's network for 32×32 images; diffusers publishes it as `google/ddpm-cifar10-32`.
  public static var paperCIFAR10: UNetConfig {
    var config = UNetConfig()
    config.sampleSize = SampleSize(height: 32, width: 32)
    config.blockOutChannels = [128, 256, 256, 256]
    config.downBlocks = [.plain, .attention, .plain, .plain]
    config.upBlocks = [.plain, .plain, .attention, .plain]
    config.attentionHeadChannels = nil
    config.downsamplePadding = 0
    config.cosinesFirst = false
    config.frequencyShift = 1
    config.normEpsilon = 1e-6
    return config
  }

  /// Channels of the time embedding.
  public var timeChannels: Int { timeEmbeddingChannels ?? 4 * (blockOutChannels.first ?? 0) }

  /// Features of a timestep before the embedding's two layers: a sine and a cosine per frequency.
  var timeFeatureCount: Int {
    let channels = blockOutChannels.first ?? 0
    return timeEmbedding == .fourier ? 2 * channels : channels
  }
}

extension UNetConfig {
  /// Checks everything that would otherwise fail while the network is being built.
  ///
  /// - Throws: ``NetworkConfigError`` naming diffusers' key, the value and what would work.
  public func validate() throws(NetworkConfigError) {
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(NetworkConfigError) {
      if !condition { throw NetworkConfigError(message()) }
    }
    let levels = blockOutChannels.count
    try require(levels > 0, "block_out_channels is empty; give the channels of each resolution, such as 128,256")
    try require(
      downBlocks.count == levels && upBlocks.count == levels,
      "block_out_channels has \(levels) levels, down_block_types \(downBlocks.count) and up_block_types "
        + "\(upBlocks.count); give each the same number")
    try require(layersPerBlock > 0, "layers_per_block is \(layersPerBlock); it must be at least 1")
    // Far beyond any network; keeps the arithmetic on sizes from overflowing.
    let limit = 1 << 20
    try require(levels <= 32 && layersPerBlock <= 1024, "\(levels) levels of \(layersPerBlock) layers are too many")
    let counts =
      [
        ("in_channels", inChannels), ("out_channels", outChannels), ("norm_num_groups", normGroups),
        ("attention_head_dim", attentionHeadChannels ?? 1), ("attn_norm_num_groups", attentionNormGroups ?? 1),
        ("time_embedding_dim", timeEmbeddingChannels ?? 1), ("sample_size", sampleSize?.height ?? 1),
        ("sample_size", sampleSize?.width ?? 1),
      ] + blockOutChannels.map { ("block_out_channels", $0) }
    for (key, value) in counts { try require((1...limit).contains(value), "\(key) is \(value); it must be 1…\(limit)") }
    // Four times a channel count, unless it is given: only now is that sure to fit an Int.
    try require(timeChannels <= limit, "time_embedding_dim is \(timeChannels); it must be 1…\(limit)")
    if case .learned(let classes) = classEmbedding {
      try require((1...limit).contains(classes), "num_class_embeds is \(classes); it must be 1…\(limit)")
    }
    try require(
      downsamplePadding == 0 || downsamplePadding == 1,
      "downsample_padding is \(downsamplePadding); we have 0 (below and right, as in the paper) and 1")
    try require((0..<1).contains(dropout), "dropout is \(dropout); it must be at least 0 and less than 1")
    try require(normEpsilon > 0 && normEpsilon.isFinite, "norm_eps is \(normEpsilon); it must be positive")
    try require(
      midBlockScaleFactor != 0 && midBlockScaleFactor.isFinite,
      "mid_block_scale_factor is \(midBlockScaleFactor); the mid block divides by it")
    try require(
      timeEmbedding == .fourier || Double(blockOutChannels[0] / 2) - frequencyShift > 0,
      "freq_shift is \(frequencyShift), and block_out_channels starts with \(blockOutChannels[0]); half of that must be more"
    )
    try validateGroupsAndHeads(require)
  }

  private func validateGroupsAndHeads(
    _ require: (Bool, @autoclosure () -> String) throws(NetworkConfigError) -> Void
  ) throws(NetworkConfigError) {
    // Every norm sees the channels of a level, or on the way up the sum of those of two.
    for channels in blockOutChannels {
      try require(
        channels % normGroups == 0,
        "block_out_channels has \(channels), which norm_num_groups \(normGroups) does not divide; "
          + "groups that work: \(Self.commonDivisors(blockOutChannels))")
    }
    for (level, channels) in blockOutChannels.enumerated() {
      let isLast = level == blockOutChannels.count - 1
      let attends =
        downBlocks[level] == .attention || upBlocks[blockOutChannels.count - 1 - level] == .attention
        || (isLast && hasMidBlock && hasMidAttention)
      guard attends, let headChannels = attentionHeadChannels else { continue }
      try require(
        headChannels <= channels,
        "attention_head_dim is \(headChannels), and level \(level) has only \(channels) channels")
    }
    if let attentionNormGroups, hasMidBlock, hasMidAttention, let channels = blockOutChannels.last {
      try require(
        channels % attentionNormGroups == 0,
        "attn_norm_num_groups \(attentionNormGroups) does not divide the mid block's \(channels) channels")
    }
  }

  private static func commonDivisors(_ values: [Int]) -> String {
    let smallest = values.min() ?? 1
    return (1...min(smallest, 64)).filter { divisor in values.allSatisfy { $0 % divisor == 0 } }
      .map(String.init).joined(separator: ", ")
  }
}
