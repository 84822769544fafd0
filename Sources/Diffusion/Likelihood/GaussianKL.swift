#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) in nats.
public func gaussianKL(mean1: Double, logVariance1: Double, mean2: Double, logVariance2: Double) -> Double {
  // ½ (ln σ₂²/σ₁² + σ₁²/σ₂² + (μ₁ − μ₂)²/σ₂² − 1)
  let difference = mean1 - mean2
  return 0.5
    * (logVariance2 - logVariance1 + expm1(logVariance1 - logVariance2) + difference * difference * exp(-logVariance2))
}
