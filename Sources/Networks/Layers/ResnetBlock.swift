import TensorGraph

/// What every block of the network is given beside the image.
public struct Conditioning {
  /// The time embedding, class embedding included, after its activation: (N, time channels).
  public let time: Tensor
  /// nil outside training.
  public let dropout: DropoutSource?

  /// - Parameter time: (N, time channels), already activated.
  public init(time: Tensor, dropout: DropoutSource? = nil) {
    self.time = time
    self.dropout = dropout
  }
}

/// Where dropout's random numbers come from: the same source, sample and step always drop the same values.
public struct DropoutSource {
  /// (N, 2) integers: each sample's number and the step.
  public let counters: Tensor
  /// The seed as two 32-bit words.
  public let key: Tensor

  /// - Parameters:
  ///   - counters: (N, 2) integers, (sample, step).
  ///   - key: (2) integers, the seed's words.
  public init(counters: Tensor, key: Tensor) {
    self.counters = counters
    self.key = key
  }
}

/// The residual block (Ho et al. 2020, appendix B: two convolutions after Wide ResNet, with group norm for weight norm).
///
///     h = conv1(act(norm1(x)))
///     h = h + time projection                    and norm2 with its activation;
///     h = conv2(dropout(act(norm2(h))))
///     y = (shortcut(x) + h) / s
///
/// With scale-shift conditioning (Nichol & Dhariwal 2021), norm2(h)·(1 + scale) + shift replaces the sum.
public struct ResnetBlock {
  /// What all the residual blocks of a network have in common.
  public struct Settings: Sendable {
    /// Channels of the time embedding.
    public var timeChannels: Int
    /// The nonlinearity, after each norm.
    public var activation = Activation.silu
    /// How the time embedding enters.
    public var conditioning = TimeConditioning.shift
    /// Groups of both norms, a divisor of the channels.
    public var normGroups = 32
    /// What both norms add to the variance. 1e-6 is the paper's code's, diffusers' default is 1e-5.
    public var normEpsilon = 1e-6
    /// The probability with which values are dropped in training.
    public var dropout = 0.0

    /// The paper's block, but without dropout.
    public init(timeChannels: Int) { self.timeChannels = timeChannels }
  }

  let norm1: Norm
  let conv1: Conv2D
  let timeProjection: Linear
  let norm2: Norm
  let conv2: Conv2D
  /// A 1×1 convolution where the numbers of channels differ.
  let shortcut: Conv2D?

  let settings: Settings
  let dropoutIndex: UInt32
  let outputScale: Double
  let resampling: Resampling?

  /// A block may also halve or double the image, without parameters of its own for that.
  public enum Resampling: Sendable { case halve, double }

  /// Declares the block's parameters; with unlike numbers of channels also `conv_shortcut`.
  ///
  /// - Parameter outputScale: s, which the sum is divided by.
  public init(
    _ scope: ParameterScope, from inChannels: Int, to outChannels: Int, settings: Settings, outputScale: Double = 1,
    resampling: Resampling? = nil
  ) {
    self.settings = settings
    dropoutIndex = scope.nextDropout()
    self.outputScale = outputScale
    self.resampling = resampling

    let (groups, epsilon) = (settings.normGroups, settings.normEpsilon)
    let timeOutputs = settings.conditioning == .scaleShift ? 2 * outChannels : outChannels
    norm1 = Norm(scope["norm1"], channels: inChannels, groups: groups, epsilon: epsilon)
    conv1 = Conv2D(scope["conv1"], from: inChannels, to: outChannels, kernel: 3)
    timeProjection = Linear(scope["time_emb_proj"], from: settings.timeChannels, to: timeOutputs)
    norm2 = Norm(scope["norm2"], channels: outChannels, groups: groups, epsilon: epsilon)
    conv2 = Conv2D(scope["conv2"], from: outChannels, to: outChannels, kernel: 3, last: true)
    shortcut =
      inChannels == outChannels
      ? nil : Conv2D(scope["conv_shortcut"], from: inChannels, to: outChannels, kernel: 1)
  }

  /// x (N, in, H, W) → y (N, out, H′, W′).
  public func callAsFunction(_ x: Tensor, _ given: Conditioning) -> Tensor {
    let activation = settings.activation
    let h = conv1(resampled(norm1(x, then: activation)))
    let time = timeProjection(given.time)

    let conditioned: Tensor
    switch settings.conditioning {
    case .shift:
      conditioned = norm2(h, adding: time, then: activation)
    case .scaleShift:
      let scaleAndShift = time.reshaped([time.shape[0], time.shape[1], 1, 1]).split(axis: 1, parts: 2)
      conditioned = activation(norm2(h) * (1 + scaleAndShift[0]) + scaleAndShift[1])
    }

    let residual = conv2(dropped(conditioned, given.dropout))
    let carried = resampled(x)
    return ((shortcut?(carried) ?? carried) + residual) / outputScale
  }

  private func resampled(_ x: Tensor) -> Tensor {
    switch resampling {
    case .halve: x.averagePooled(2)
    case .double: x.upsampledNearest(2)
    case nil: x
    }
  }

  private func dropped(_ x: Tensor, _ source: DropoutSource?) -> Tensor {
    guard let source, settings.dropout > 0 else { return x }
    // The layer's number makes a stream of its own within the stream of all dropout.
    let stream = RandomStream.dropout.rawValue | (dropoutIndex + 1) << 8
    return x.dropout(rate: settings.dropout, counters: source.counters, key: source.key, stream: stream)
  }
}

/// How the time embedding enters a residual block between its convolutions, by diffusers' names.
public enum TimeConditioning: String, CaseIterable, Sendable {
  /// Added before the second norm, as in the paper.
  case shift = "default"
  /// Scales and shifts the second norm's output (Nichol & Dhariwal 2021).
  case scaleShift = "scale_shift"
}
