/// KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) in nats, element by element.
package func gaussianKL<V: ElementarySpace>(mean1: V, logVariance1: V, mean2: V, logVariance2: V) -> V {
  // ½ (ln σ₂²/σ₁² + σ₁²/σ₂² + (μ₁ − μ₂)²/σ₂² − 1)
  let ratio = V.expm1(logVariance1 - logVariance2)
  let distance = V.squared(mean1 - mean2) * V.exp(-logVariance2)
  return 0.5 * (logVariance2 - logVariance1 + ratio + distance)
}
