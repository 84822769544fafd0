import TensorGraph

/// KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) in nats, element by element: `gaussianKL` as a differentiable piece of graph.
public func gaussianKL(mean1: Tensor, logVariance1: Tensor, mean2: Tensor, logVariance2: Tensor) -> Tensor {
  // ½ (ln σ₂²/σ₁² + σ₁²/σ₂² + (μ₁ − μ₂)²/σ₂² − 1)
  let ratio = (logVariance1 - logVariance2).unary(.expm1)
  return 0.5 * (logVariance2 - logVariance1 + ratio + (mean1 - mean2).squared() * (-logVariance2).exp())
}

extension DiscretizedDecoder {
  /// ln p(x_0), element by element, for x_0 that lies on the 256 values in [−1, 1]: `logLikelihood` as a differentiable piece of graph.
  public static func logLikelihood(_ x0: Tensor, mean μ: Tensor, logVariance: Tensor) -> Tensor {
    let inverse = (-0.5 * logVariance).exp()
    let distance = x0 - μ
    // Open end bins: ln Φ((−1 + 1/255 − μ)/σ) and ln Φ((μ − 1 + 1/255)/σ).
    let first = ((distance + 1 / 255) * inverse).unary(.logNormalCDF)
    let last = (-(distance - 1 / 255) * inverse).unary(.logNormalCDF)
    // Inner bins, mirrored to the lower tail: ln(Φ(b) − Φ(a)) with a, b = (−|x_0 − μ| ∓ 1/255)/σ.
    let mirrored = -distance.unary(.absolute)
    let upper = ((mirrored + 1 / 255) * inverse).unary(.logNormalCDF)
    let lower = ((mirrored - 1 / 255) * inverse).unary(.logNormalCDF)
    // ln Φ(b) + ln(1 − e^{ln Φ(a) − ln Φ(b)}); in Float a bin far narrower than σ would otherwise round to no mass at all.
    let inner = upper + (-(lower - upper).unary(.expm1)).clamped(to: 1e-12...1).log()
    let isFirst = (-x0 - 0.999).unary(.step)
    let isLast = (x0 - 0.999).unary(.step)
    return isFirst * first + isLast * last + (1 - isFirst - isLast) * inner
  }
}
