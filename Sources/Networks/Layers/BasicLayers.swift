import TensorGraph

/// y = w ∗ x + b: x (N, in, H, W) → y (N, out, H′, W′).
public struct Conv2D {
  /// w, (out, in, kernel, kernel).
  public let weight: Tensor
  /// b, (out).
  public let bias: Tensor
  let stride: Int
  let padding: Convolution.Padding

  /// - Parameter last: Whether this is the last layer before a residual sum or the output.
  public init(
    _ scope: ParameterScope, from inChannels: Int, to outChannels: Int, kernel: Int, stride: Int = 1,
    padding: Convolution.Padding? = nil, last: Bool = false
  ) {
    weight = scope.parameter("weight", [outChannels, inChannels, kernel, kernel], .weight(last: last))
    bias = scope.parameter("bias", [outChannels], .bias(fanIn: inChannels * kernel * kernel))
    self.stride = stride
    self.padding = padding ?? .init(kernel / 2)
  }

  /// x (N, in, H, W) → y (N, out, H′, W′).
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.convolved(weight, bias: bias, stride: stride, padding: padding)
  }
}

/// y = x Wᵀ + b.
public struct Linear {
  /// W, (out, in).
  public let weight: Tensor
  /// b, (out).
  public let bias: Tensor

  /// - Parameter last: Whether this is the last layer before a residual sum or the output.
  public init(_ scope: ParameterScope, from inChannels: Int, to outChannels: Int, last: Bool = false) {
    weight = scope.parameter("weight", [outChannels, inChannels], .weight(last: last))
    bias = scope.parameter("bias", [outChannels], .bias(fanIn: inChannels))
  }

  /// x (N, in) → y (N, out).
  public func callAsFunction(_ x: Tensor) -> Tensor { x.linear(weight, bias) }

  /// The same map at every pixel, as a 1×1 convolution: x (N, in, H, W) → y (N, out, H, W).
  public func atEveryPixel(_ x: Tensor) -> Tensor {
    let (outChannels, inChannels) = (weight.shape[0], weight.shape[1])
    return x.convolved(weight.reshaped([outChannels, inChannels, 1, 1]), bias: bias)
  }
}

/// Group normalisation (Wu & He 2018), then optionally an activation: x (N, C, H, W) → y of the same shape.
public struct Norm {
  let scale: Tensor
  let shift: Tensor
  let groups: Int
  let epsilon: Double

  /// - Parameter groups: a divisor of `channels`.
  public init(_ scope: ParameterScope, channels: Int, groups: Int, epsilon: Double) {
    scale = scope.parameter("weight", [channels], .normScale)
    shift = scope.parameter("bias", [channels], .normShift)
    self.groups = groups
    self.epsilon = epsilon
  }

  /// - Parameter offset: Added to each channel (N, C) before normalising.
  public func callAsFunction(_ x: Tensor, adding offset: Tensor? = nil, then activation: Activation? = nil) -> Tensor {
    // SiLU is part of the norm's operator: every backend fuses the two.
    let fused = activation?.isSiLU == true
    let y = x.groupNorm(scale, shift, groups: groups, epsilon: epsilon, shift: offset, silu: fused)
    guard let activation, !fused else { return y }
    return activation(y)
  }
}

/// Nonlinearities, by diffusers' names.
public enum Activation: String, CaseIterable, Sendable {
  case silu, swish, mish, gelu, relu

  /// Swish is an older name of SiLU.
  var isSiLU: Bool { self == .silu || self == .swish }

  /// Applies it to every element.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    switch self {
    case .silu, .swish: x.silu()
    case .mish: x.unary(.mish)
    case .gelu: x.unary(.gelu)
    case .relu: x.unary(.relu)
    }
  }
}
