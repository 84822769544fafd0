import TensorGraph

/// The denoising network: diffusers' `UNet2DModel`, whose `paperCIFAR10` configuration is that of Ho et al. 2020, appendix B.
///
///     conv_in → down block → … → mid block → … → up block → norm, SiLU, conv_out
///                    ╰────────── skips ───────────╯
///
/// A value holds no numbers: it declares the parameters as states of a graph, and calling it adds the network's
/// operators to that graph. Calling it again shares the parameters.
///
/// ```swift
/// let builder = GraphBuilder()
/// let unet = try UNet(.paperCIFAR10, in: builder)
/// let ε = unet(sample: builder.input("sample", [8, 3, 32, 32]), timestep: builder.input("timestep", [8], .int32))
/// ```
public struct UNet: Network {
  /// What it was made of; checked.
  public let config: UNetConfig
  /// Every parameter with its tensor in the graph, in diffusers' order.
  public let parameters: [(parameter: Parameter, tensor: Tensor)]

  private let convIn: Conv2D
  private let timeFeatures: TimestepFeatures
  private let timeEmbedding: TimestepEmbedding
  private let classEmbedding: ClassEmbedding?
  private let downBlocks: [DownBlock]
  private let upBlocks: [UpBlock]
  private let midBlock: MidBlock?
  private let normOut: Norm
  private let convOut: Conv2D

  /// Declares the network's parameters in a graph.
  ///
  /// - Parameter prefix: Put before the names of the states, so that one graph can hold a network and its average.
  /// - Throws: ``NetworkConfigError`` where the configuration makes no network.
  public init(_ config: UNetConfig, in builder: GraphBuilder, prefix: String = "") throws(NetworkConfigError) {
    try config.validate()
    self.config = config
    let collector = ParameterScope.Collector(builder: builder, prefix: prefix)
    let scope = ParameterScope(collector)
    let channels = config.blockOutChannels
    let coarsest = channels[channels.count - 1]

    convIn = Conv2D(scope["conv_in"], from: config.inChannels, to: channels[0], kernel: 3)
    timeFeatures = config.timeFeatures(scope["time_proj"])
    timeEmbedding = TimestepEmbedding(
      scope["time_embedding"], features: config.timeFeatureCount, channels: config.timeChannels)
    classEmbedding = config.classEmbedding(scope["class_embedding"], features: timeFeatures)

    downBlocks = channels.indices.map { i in
      DownBlock(
        scope["down_blocks", i], config.downBlocks[i], from: channels[max(i - 1, 0)], to: channels[i],
        isLast: i == channels.count - 1, config: config)
    }
    // Coarsest first.
    let upward = Array(channels.reversed())
    upBlocks = upward.indices.map { i in
      UpBlock(
        scope["up_blocks", i], config.upBlocks[i], from: upward[max(i - 1, 0)], to: upward[i],
        next: upward[min(i + 1, upward.count - 1)], isLast: i == upward.count - 1, config: config)
    }
    midBlock = config.hasMidBlock ? MidBlock(scope["mid_block"], channels: coarsest, config: config) : nil

    normOut = Norm(
      scope["conv_norm_out"], channels: channels[0], groups: config.normGroups, epsilon: config.normEpsilon)
    convOut = Conv2D(scope["conv_out"], from: channels[0], to: config.outChannels, kernel: 3, last: true)
    parameters = scope.parameters
  }

  /// As ``callAsFunction(sample:timestep:classLabels:dropout:)``; pictures are further channels of the sample.
  public func callAsFunction(
    _ xt: Tensor, t: Tensor, given condition: NetworkCondition, dropout: DropoutSource?
  ) -> Tensor {
    let sample = condition.pictures.map { concat([xt, $0], axis: 1) } ?? xt
    return self(sample: sample, timestep: t, classLabels: condition.classLabels, dropout: dropout)
  }

  /// Adds the network to the graph.
  ///
  /// - Parameters:
  ///   - sample: Noisy images (N, in channels, H, W).
  ///   - timestep: (N) of either type, counted as the network was trained: diffusers counts 0…T−1.
  ///   - classLabels: What the class embedding wants: (N) integers where learned, (N) numbers for `timestep`, (N, time channels)
  ///     for `identity`; nil exactly where the network has none.
  ///   - dropout: Where random numbers come from in training; nil switches dropout off.
  /// - Returns: (N, out channels, H, W).
  public func callAsFunction(
    sample: Tensor, timestep: Tensor, classLabels: Tensor? = nil, dropout: DropoutSource? = nil
  ) -> Tensor {
    precondition(
      (classLabels == nil) == (classEmbedding == nil),
      classEmbedding == nil ? "this network takes no class labels" : "this network needs class labels")
    let t = timestep.asFloat

    // Time, and class: one vector a sample.
    var embedding = timeEmbedding(timeFeatures(t))
    if let classEmbedding, let classLabels { embedding = embedding + classEmbedding(classLabels) }
    // Each block activates the embedding before its own projection: the same for all, so done once.
    let given = Conditioning(time: config.activation(embedding), dropout: dropout)

    // Down, keeping every image for the way up.
    var x = convIn(config.centerInputSample ? 2 * sample - 1 : sample)
    var skips = [x]
    for block in downBlocks {
      let (y, kept) = block(x, given)
      x = y
      skips += kept
    }

    x = midBlock?(x, given) ?? x

    for block in upBlocks { x = block(x, skips: &skips, given) }

    let output = convOut(normOut(x, then: .silu))
    guard config.timeEmbedding == .fourier else { return output }
    // Such networks predict the score; t is their noise level (Song et al. 2021).
    return output / t.reshaped([t.shape[0], 1, 1, 1])
  }
}
