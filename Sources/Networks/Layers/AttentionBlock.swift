import TensorGraph

/// Self-attention between the pixels of an image (Ho et al. 2020, appendix B: at the 16×16 resolution).
///
///     q, k, v = linear(norm(x))
///     y = (x + linear(softmax(q kᵀ / √d) v)) / s
public struct AttentionBlock {
  let norm: Norm?
  let toQuery: Linear
  let toKey: Linear
  let toValue: Linear
  let toOut: Linear
  let heads: Int
  let outputScale: Double

  /// - Parameters:
  ///   - headChannels: nil for a single head.
  ///   - normGroups: nil for no norm.
  public init(
    _ scope: ParameterScope, channels: Int, headChannels: Int? = nil, normGroups: Int?, normEpsilon: Double,
    outputScale: Double = 1
  ) {
    let headChannels = headChannels ?? channels
    heads = channels / headChannels
    self.outputScale = outputScale

    let inner = heads * headChannels
    norm = normGroups.map {
      Norm(scope["group_norm"], channels: channels, groups: $0, epsilon: normEpsilon)
    }
    toQuery = Linear(scope["to_q"], from: channels, to: inner)
    toKey = Linear(scope["to_k"], from: channels, to: inner)
    toValue = Linear(scope["to_v"], from: channels, to: inner)
    toOut = Linear(scope["to_out.0"], from: inner, to: channels, last: true)
  }

  /// x (N, C, H, W) → y (N, C, H, W).
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let (n, height, width) = (x.shape[0], x.shape[2], x.shape[3])
    let inner = toQuery.weight.shape[0]
    let h = norm?(x) ?? x
    /// (N, inner, H, W) → (N, inner, H·W).
    func pixels(_ image: Tensor) -> Tensor { image.reshaped([n, inner, height * width]) }

    let mixed = attention(
      q: pixels(toQuery.atEveryPixel(h)), k: pixels(toKey.atEveryPixel(h)), v: pixels(toValue.atEveryPixel(h)),
      heads: heads)
    return (x + toOut.atEveryPixel(mixed.reshaped([n, inner, height, width]))) / outputScale
  }
}
