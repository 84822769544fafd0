import TensorGraph

/// One resolution on the way down: residual blocks, attention after each where the level has it, then half the size.
struct DownBlock {
  let attentions: [AttentionBlock]
  let resnets: [ResnetBlock]
  let downsampler: Downsampler?

  init(
    _ scope: ParameterScope, _ kind: UNetConfig.DownBlockKind, from inChannels: Int, to outChannels: Int, isLast: Bool,
    config: UNetConfig
  ) {
    // Attentions first: diffusers' order of parameters.
    attentions = attentionBlocks(
      scope, count: kind == .attention ? config.layersPerBlock : 0, channels: outChannels, config: config)
    resnets = (0..<config.layersPerBlock).map { j in
      ResnetBlock(
        scope["resnets", j], from: j == 0 ? inChannels : outChannels, to: outChannels, settings: config.resnet)
    }
    let resampling: UNetConfig.Resampling =
      switch kind {
      case .plain: .convolution
      case .attention: config.downsampling
      case .resnet: .resnet
      }
    downsampler =
      isLast ? nil : Downsampler(scope["downsamplers", 0], channels: outChannels, kind: resampling, config: config)
  }

  /// x (N, in, H, W) → the result, and every image that the way up takes over its skip connections.
  func callAsFunction(_ x: Tensor, _ given: Conditioning) -> (x: Tensor, skips: [Tensor]) {
    var x = x
    var skips: [Tensor] = []
    for (j, resnet) in resnets.enumerated() {
      x = resnet(x, given)
      if !attentions.isEmpty { x = attentions[j](x) }
      skips.append(x)
    }
    if let downsampler {
      x = downsampler(x, given)
      skips.append(x)
    }
    return (x, skips)
  }
}

/// The coarsest resolution between the ways down and up: residual block, attention, residual block.
struct MidBlock {
  let attention: AttentionBlock?
  let resnets: [ResnetBlock]

  init(_ scope: ParameterScope, channels: Int, config: UNetConfig) {
    let scale = config.midBlockScaleFactor
    let normGroups = config.attentionNormGroups ?? (config.timeScaleShift == .shift ? config.normGroups : nil)
    attention =
      config.hasMidAttention
      ? AttentionBlock(
        scope["attentions", 0], channels: channels, headChannels: config.attentionHeadChannels, normGroups: normGroups,
        normEpsilon: config.normEpsilon, outputScale: scale) : nil
    resnets = (0..<2).map { j in
      ResnetBlock(scope["resnets", j], from: channels, to: channels, settings: config.resnet, outputScale: scale)
    }
  }

  func callAsFunction(_ x: Tensor, _ given: Conditioning) -> Tensor {
    let h = resnets[0](x, given)
    return resnets[1](attention?(h) ?? h, given)
  }
}

/// One resolution on the way up: residual blocks on the image and a skip connection each, attention after each where the
/// level has it, then double the size. It has one residual block more than the way down.
struct UpBlock {
  let attentions: [AttentionBlock]
  let resnets: [ResnetBlock]
  let upsampler: Upsampler?

  /// - Parameters:
  ///   - inChannels: Channels of the image from below.
  ///   - nextChannels: Channels of the next level up, from whose way down the last skip comes.
  init(
    _ scope: ParameterScope, _ kind: UNetConfig.UpBlockKind, from inChannels: Int, to outChannels: Int,
    next nextChannels: Int, isLast: Bool, config: UNetConfig
  ) {
    let layers = config.layersPerBlock + 1
    attentions = attentionBlocks(
      scope, count: kind == .attention ? layers : 0, channels: outChannels, config: config)
    resnets = (0..<layers).map { j in
      let image = j == 0 ? inChannels : outChannels
      let skip = j == layers - 1 ? nextChannels : outChannels
      return ResnetBlock(scope["resnets", j], from: image + skip, to: outChannels, settings: config.resnet)
    }
    let resampling: UNetConfig.Resampling =
      switch kind {
      case .plain: .convolution
      case .attention: config.upsampling
      case .resnet: .resnet
      }
    upsampler =
      isLast ? nil : Upsampler(scope["upsamplers", 0], channels: outChannels, kind: resampling, config: config)
  }

  /// - Parameter skips: Images from the way down; the last ones are taken off.
  func callAsFunction(_ x: Tensor, skips: inout [Tensor], _ given: Conditioning) -> Tensor {
    var x = x
    for (j, resnet) in resnets.enumerated() {
      x = resnet(concat([x, skips.removeLast()], axis: 1), given)
      if !attentions.isEmpty { x = attentions[j](x) }
    }
    return upsampler?(x, given) ?? x
  }
}

private func attentionBlocks(
  _ scope: ParameterScope, count: Int, channels: Int, config: UNetConfig
) -> [AttentionBlock] {
  (0..<count).map { j in
    AttentionBlock(
      scope["attentions", j], channels: channels, headChannels: config.attentionHeadChannels,
      normGroups: config.normGroups, normEpsilon: config.normEpsilon)
  }
}
