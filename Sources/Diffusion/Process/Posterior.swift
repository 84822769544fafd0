import Platform

/// q(x_s | x_t, x_0) = N(μ̃, β̃ I) for s < t; s = t − 1 in the full chain (Ho et al. 2020, eqs. 6 and 7).
public struct Posterior<Coefficient> {
  /// The coefficient of x_0 in μ̃: √ᾱ_s β / (1 − ᾱ_t), where β = 1 − ᾱ_t/ᾱ_s.
  public let x0Coefficient: Coefficient
  /// The coefficient of x_t in μ̃: √α (1 − ᾱ_s) / (1 − ᾱ_t), where α = ᾱ_t/ᾱ_s.
  public let xtCoefficient: Coefficient

  /// `NoiseSchedule.posterior(_:to:)` gives those of two levels.
  public init(x0Coefficient: Coefficient, xtCoefficient: Coefficient) {
    self.x0Coefficient = x0Coefficient
    self.xtCoefficient = xtCoefficient
  }

  /// μ̃(x_t, x_0).
  public func mean<V: LinearSpace>(x0: V, xt: V) -> V where V.Coefficient == Coefficient {
    x0Coefficient * x0 + xtCoefficient * xt
  }

  /// The x_0 for which μ̃(x_t, x_0) is `mean`.
  public func x0<V: LinearSpace>(mean: V, xt: V) -> V where V.Coefficient == Coefficient {
    (mean - xtCoefficient * xt) / x0Coefficient
  }
}

extension Posterior: Sendable where Coefficient: Sendable {}

extension NoiseSchedule {
  /// (α, β) of the step from x_s to x_t: ᾱ_t/ᾱ_s and 1 − ᾱ_t/ᾱ_s; the table's own where s = t − 1.
  package func transition(from s: Timestep, to t: Timestep) -> (α: Double, β: Double) {
    precondition(s < t, "x_\(t) does not come after x_\(s)")
    if s.number + 1 == t.number { return (α[t], β[t]) }
    let α = ᾱ[t] / ᾱ[s]
    return (α, 1 - α)
  }

  /// The coefficients of q(x_s | x_t, x_0); s = t − 1 unless given.
  public func posterior(_ t: Timestep, to s: Timestep? = nil) -> Posterior<Double> {
    let s = s ?? t.previous
    let (α, β) = transition(from: s, to: t)
    // μ̃ = √ᾱ_s β / (1 − ᾱ_t) x_0 + √α (1 − ᾱ_s) / (1 − ᾱ_t) x_t
    return Posterior(
      x0Coefficient: sqrtᾱ[s] * β / (1 - ᾱ[t]),
      xtCoefficient: α.squareRoot() * (1 - ᾱ[s]) / (1 - ᾱ[t]))
  }

  /// β̃_t, the variance of q(x_s | x_t, x_0); 0 where s is the data.
  public func posteriorVariance(_ t: Timestep, to s: Timestep? = nil) -> Double {
    let s = s ?? t.previous
    // β̃ = β (1 − ᾱ_s) / (1 − ᾱ_t)
    return transition(from: s, to: t).β * (1 - ᾱ[s]) / (1 - ᾱ[t])
  }

  /// ln β̃_t. Where x_s is the data, β̃ = 0 has no logarithm, and the likelihood needs a width: that of one level up, β̃_2 for t = 1, as in
  /// the paper's code.
  public func posteriorLogVariance(_ t: Timestep, to s: Timestep? = nil) -> Double {
    let s = s ?? t.previous
    if s > .data { return log(posteriorVariance(t, to: s)) }
    return t < last ? log(posteriorVariance(Timestep(t.number + 1), to: t)) : log(β[t])
  }
}
