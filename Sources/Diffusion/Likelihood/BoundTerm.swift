import Platform

/// One term of the bound, element by element: the text that evaluation runs in Double and training differentiates.
struct BoundTerm<V: ElementarySpace> {
  /// 1 where t = 1, else 0.
  let isFirst: V
  let posterior: Posterior<V>
  /// ln β̃_t.
  let posteriorLogVariance: V
  let decoder: VariationalBound.Decoder

  /// L_{t−1} for t > 1 and L_0 for t = 1, in nats.
  func nats(x0: V, xt: V, x0Hat x̂0: V, logVariance logσ²: V) -> V {
    let μ = posterior.mean(x0: x̂0, xt: xt)
    let μ̃ = posterior.mean(x0: x0, xt: xt)
    return .select(
      isFirst,
      // L_0 = −ln p_θ(x_0 | x_1)
      -decoder.logLikelihood(x0, mean: μ, logVariance: logσ²),
      // L_{t−1} = KL(q(x_{t−1} | x_t, x_0) ‖ p_θ(x_{t−1} | x_t))
      else: gaussianKL(mean1: μ̃, logVariance1: posteriorLogVariance, mean2: μ, logVariance2: logσ²))
  }
}

extension VariationalBound.Decoder {
  /// ln p_θ(x_0 | x_1) of N(μ, σ²), element by element.
  func logLikelihood<V: ElementarySpace>(_ x0: V, mean μ: V, logVariance logσ²: V) -> V {
    switch self {
    case .discretized:
      return DiscretizedDecoder.logLikelihood(x0, mean: μ, logVariance: logσ²)
    case .density:
      // −½ (ln 2π + ln σ² + (x_0 − μ)²/σ²)
      return -0.5 * (log(2 * Double.pi) + logσ² + V.squared(x0 - μ) * V.exp(-logσ²))
    }
  }
}
