import Platform

/// Levels between two timesteps: ln σ̄ is a line from each trained level to the next, as in diffusers.
extension NoiseSchedule {
  /// ln σ̄_t, finite also where ᾱ_T = 0.
  private func logσ̄(_ t: Int) -> Double { -finiteLevel(Timestep(t)).λ }

  /// √ᾱ and √(1−ᾱ) at a level between two timesteps.
  func levelBetween(_ t: Timestep) -> NoiseLevel<Double> {
    // ln σ̄ = (1 − w) ln σ̄_t + w ln σ̄_{t+1}
    let w = t.fraction
    return NoiseLevel(sigmaBar: exp((1 - w) * logσ̄(t.number) + w * logσ̄(t.number + 1)))
  }

  /// The level with this σ̄, kept within 1…T.
  public func timestep(sigmaBar σ̄: Double) -> Timestep {
    precondition(σ̄ > 0, "σ̄ = \(σ̄) is no noise level")
    let logσ = log(σ̄)
    // The last level that is not noisier.
    var (low, high) = (1, T)
    while low < high {
      let middle = (low + high + 1) / 2
      if logσ̄(middle) <= logσ { low = middle } else { high = middle - 1 }
    }
    guard low < T else { return last }
    let (from, to) = (logσ̄(low), logσ̄(low + 1))
    return Timestep(position: Double(low) + min(max((logσ - from) / (to - from), 0), 1))
  }
}

extension NoiseLevel<Double> {
  /// The level of a σ̄: √ᾱ = 1/√(1 + σ̄²), √(1−ᾱ) = σ̄ √ᾱ.
  public init(sigmaBar σ̄: Double) {
    let sqrtᾱ = 1 / (1 + σ̄ * σ̄).squareRoot()
    self.init(sqrtAlphaBar: sqrtᾱ, sqrtOneMinusAlphaBar: σ̄ * sqrtᾱ)
  }
}
