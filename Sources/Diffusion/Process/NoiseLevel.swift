import Platform

/// How much signal and noise x_t holds: x_t = √ᾱ x_0 + √(1−ᾱ) ε. The pair that every conversion between x_0, ε and v needs.
public struct NoiseLevel<Coefficient> {
  /// √ᾱ.
  public let sqrtᾱ: Coefficient
  /// √(1−ᾱ).
  public let sqrtOneMinusᾱ: Coefficient

  /// Their squares should add up to 1; nothing is checked.
  public init(sqrtAlphaBar: Coefficient, sqrtOneMinusAlphaBar: Coefficient) {
    sqrtᾱ = sqrtAlphaBar
    sqrtOneMinusᾱ = sqrtOneMinusAlphaBar
  }

  /// √ᾱ, by a name that any keyboard types.
  public var sqrtAlphaBar: Coefficient { sqrtᾱ }
  /// √(1−ᾱ), by a name that any keyboard types.
  public var sqrtOneMinusAlphaBar: Coefficient { sqrtOneMinusᾱ }

  /// x_t = √ᾱ x_0 + √(1−ᾱ) ε: the closed form of q(x_t | x_0) (Ho et al. 2020, eq. 4, reparametrised).
  public func xt<V: LinearSpace>(x0: V, epsilon ε: V) -> V where V.Coefficient == Coefficient {
    sqrtᾱ * x0 + sqrtOneMinusᾱ * ε
  }

  /// x_0 = (x_t − √(1−ᾱ) ε) / √ᾱ (eq. 15).
  public func x0<V: LinearSpace>(epsilon ε: V, xt: V) -> V where V.Coefficient == Coefficient {
    (xt - sqrtOneMinusᾱ * ε) / sqrtᾱ
  }

  /// ε = (x_t − √ᾱ x_0) / √(1−ᾱ).
  public func epsilon<V: LinearSpace>(x0: V, xt: V) -> V where V.Coefficient == Coefficient {
    (xt - sqrtᾱ * x0) / sqrtOneMinusᾱ
  }

  /// v = √ᾱ ε − √(1−ᾱ) x_0 (Salimans & Ho 2022, appendix D).
  public func v<V: LinearSpace>(x0: V, epsilon ε: V) -> V where V.Coefficient == Coefficient {
    sqrtᾱ * ε - sqrtOneMinusᾱ * x0
  }

  /// x_0 = √ᾱ x_t − √(1−ᾱ) v.
  public func x0<V: LinearSpace>(v: V, xt: V) -> V where V.Coefficient == Coefficient {
    sqrtᾱ * xt - sqrtOneMinusᾱ * v
  }

  /// ε = √ᾱ v + √(1−ᾱ) x_t.
  public func epsilon<V: LinearSpace>(v: V, xt: V) -> V where V.Coefficient == Coefficient {
    sqrtᾱ * v + sqrtOneMinusᾱ * xt
  }
}

extension NoiseLevel: Sendable where Coefficient: Sendable {}
extension NoiseLevel: Equatable where Coefficient: Equatable {}

extension NoiseLevel<Double> {
  /// σ̄ = √((1−ᾱ)/ᾱ), the noise per unit of signal; +∞ where no signal is left.
  public var σ̄: Double { sqrtOneMinusᾱ / sqrtᾱ }
  /// σ̄, by a name that any keyboard types.
  public var sigmaBar: Double { σ̄ }
  /// λ = ln(√ᾱ/√(1−ᾱ)), half the log SNR.
  public var λ: Double { log(sqrtᾱ) - log(sqrtOneMinusᾱ) }
  /// λ, by a name that any keyboard types.
  public var lambda: Double { λ }
}

extension NoiseSchedule {
  /// √ᾱ_t and √(1−ᾱ_t); between two timesteps ln σ̄ is a line.
  public func level(_ t: Timestep) -> NoiseLevel<Double> {
    t.fraction > 0
      ? levelBetween(t) : NoiseLevel(sqrtAlphaBar: sqrtᾱ[t], sqrtOneMinusAlphaBar: sqrtOneMinusᾱ[t])
  }

  /// As `level`, with ᾱ = 2⁻²⁴ where there is no signal at all: ODE solvers divide by √ᾱ, which zero terminal SNR makes 0. (diffusers does
  /// the same, under `rescale_betas_zero_snr` alone.)
  package func finiteLevel(_ t: Timestep) -> NoiseLevel<Double> {
    if t.fraction > 0 || ᾱ[t] > 0 { return level(t) }
    return NoiseLevel(sqrtAlphaBar: 0x1p-12, sqrtOneMinusAlphaBar: (1 - 0x1p-24).squareRoot())
  }
}
