import Platform

/// How σ̄ falls from the noisiest visited level to the cleanest, in place of a spacing of t.
public enum SigmaSpacing: String, Sendable, CaseIterable {
  /// Evenly in σ̄^{1/7} (Karras et al. 2022, eq. 5): small steps where little noise is left.
  case karras
  /// Evenly in ln σ̄, and so in λ.
  case exponential
  /// By the quantiles of a Beta(0.6, 0.6) distribution (Lee et al. 2024): small steps at both ends.
  case beta

  /// n values of σ̄, the largest first; the largest alone where n = 1.
  public func sigmas(_ n: Int, from most: Double, to least: Double) -> [Double] {
    precondition(n >= 1 && 0 < least && least <= most, "\(n) values of σ̄ between \(least) and \(most)")
    let ramp = linspace(0, 1, n)
    switch self {
    case .karras:
      // σ̄_i = (σ̄_max^{1/ρ} + i/(n−1) (σ̄_min^{1/ρ} − σ̄_max^{1/ρ}))^ρ
      let (a, b) = (pow(most, 1 / 7.0), pow(least, 1 / 7.0))
      return ramp.map { pow(a + $0 * (b - a), 7) }
    case .exponential:
      return ramp.map { exp(log(most) + $0 * (log(least) - log(most))) }
    case .beta:
      return ramp.map { least + betaQuantile(1 - $0, 0.6, 0.6) * (most - least) }
    }
  }
}

extension NoiseSchedule {
  /// The n whole levels nearest to a spacing of σ̄ from T down to 1, for samplers that count in t.
  ///
  /// - Throws: `SpacingError.count` where n levels do not fit.
  public func timesteps(_ n: Int, spaced spacing: SigmaSpacing) throws(SpacingError) -> [Timestep] {
    guard n >= 1 && n <= T else { throw .count(n, T: T) }
    let sigmas = spacing.sigmas(n, from: finiteLevel(last).σ̄, to: finiteLevel(1).σ̄)
    return TimestepSpacing.apart(sigmas.map { Int(timestep(sigmaBar: $0).position.rounded()) })
  }
}

/// The x below which a Beta(a, b) variable falls with probability p.
func betaQuantile(_ p: Double, _ a: Double, _ b: Double) -> Double {
  if p <= 0 || p >= 1 { return p <= 0 ? 0 : 1 }
  var (low, high) = (0.0, 1.0)
  while true {
    let x = (low + high) / 2
    if x <= low || x >= high { return x }
    if regularizedBeta(x, a, b) < p { low = x } else { high = x }
  }
}

/// I_x(a, b), by its continued fraction (Press et al., Numerical Recipes, section 6.4).
private func regularizedBeta(_ x: Double, _ a: Double, _ b: Double) -> Double {
  // It converges fast below the mean; above it, I_x(a, b) = 1 − I_{1−x}(b, a).
  if x > (a + 1) / (a + b + 2) { return 1 - regularizedBeta(1 - x, b, a) }
  let scale = exp(a * log(x) + b * log1p(-x) - log(a) + lgamma(a + b) - lgamma(a) - lgamma(b))
  // 1/(1 + d₁/(1 + d₂/(1 + …))), from its far end.
  var fraction = 1.0
  for m in (1...100).reversed() {
    let k = Double((m - 1) / 2)
    let d =
      m % 2 == 1
      ? -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))
      : (k + 1) * (b - k - 1) * x / ((a + 2 * k + 1) * (a + 2 * k + 2))
    fraction = 1 + d / fraction
  }
  return scale / fraction
}
