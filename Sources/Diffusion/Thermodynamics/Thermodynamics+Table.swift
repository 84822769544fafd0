import Platform

extension Thermodynamics {
  /// All quantities at one t.
  public struct Row: Sendable {
    /// 1…T.
    public let t: Timestep
    /// ln γ_t, the log signal-to-noise ratio.
    public let logSNR: Double
    /// E‖ε − ε̂‖².
    public let εError: Measured
    /// ``εError``, by a name that any keyboard types.
    public var epsilonError: Measured { εError }
    /// I(x_0; x_t).
    public let information: Information
    /// H(x_t).
    public let entropy: Measured
    /// F.
    public let freeEnergy: Measured
    /// KL(q_t ‖ π).
    public let divergence: Measured
    /// J(q_t).
    public let fisherInformation: Measured
    /// −dKL/dτ.
    public let productionRate: Measured
    /// KL(q_{t−1} ‖ π) − KL(q_t ‖ π); none at t = 1, where it needs H(x_0).
    public let production: Double?
  }

  /// The quantities at t = 1…T of the errors of a denoiser.
  ///
  /// A network's errors are at least the best ones. So its I and H are from above, its KL, F and J from below; the productions, differences
  /// and mixtures of these, are neither.
  ///
  /// - Parameter εErrors: as for `information`.
  public func table(_ εErrors: [Measured], correlation: Correlation = .unknown) -> [Row] {
    let information = information(εErrors, correlation: correlation)
    let entropies = schedule.timesteps.map { t in
      let value = information[t.number - 1].estimate
      return Measured(entropy(information: value.value, at: t), error: value.error)
    }
    return schedule.timesteps.map { t in
      let (error, H) = (εErrors[t.number - 1], entropies[t.number - 1])
      let fisherError = error.error / (1 - schedule.ᾱ[t])
      return Row(
        t: t, logSNR: 2 * schedule.level(t).λ, εError: error, information: information[t.number - 1], entropy: H,
        freeEnergy: Measured(freeEnergy(entropy: H.value, at: t), error: H.error),
        divergence: Measured(divergence(entropy: H.value, at: t), error: H.error),
        fisherInformation: Measured(fisherInformation(epsilonError: error.value, at: t), error: fisherError),
        productionRate: Measured(productionRate(epsilonError: error.value, at: t), error: fisherError),
        production: t == 1 ? nil : production(entropyBefore: entropies[t.number - 2].value, entropy: H.value, at: t))
    }
  }
}

/// What known data says of one t, as means over draws of x_t.
public struct KnownRow: Sendable {
  /// H(x_t) = −E ln q_t(x_t).
  public let entropy: Measured
  /// mmse_ε(t) = γ E Var(x_0 | x_t), without drawing an error.
  public let εError: Measured
  /// ``εError``, by a name that any keyboard types.
  public var epsilonError: Measured { εError }
  /// H(k | x_t): of the points of a finite set or the components of a mixture.
  public let causeEntropy: Measured
  /// H(c | x_t): of the classes.
  public let classEntropy: Measured
}

extension KnownData {
  /// The quantities of this data at t, over draws x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε.
  public func measured(_ x0: Images, epsilon ε: Images, at t: Timestep, schedule: NoiseSchedule) -> KnownRow {
    let level = schedule.level(t)
    let xt = zip(x0.scalars, ε.scalars).map { level.xt(x0: Double($0), epsilon: Double($1)) }
    let known = posteriors(of: xt, alphaBar: schedule.ᾱ[t])
    return KnownRow(
      entropy: Measured(mean: known.map { -$0.logDensity }),
      εError: Measured(mean: known.map { schedule.snr[t] * $0.variance }),
      causeEntropy: Measured(mean: known.map(\.causeEntropy)),
      classEntropy: Measured(mean: known.map { Self.entropy($0.classes) }))
  }

  /// −Σ p ln p.
  private static func entropy(_ probabilities: [Double]) -> Double {
    -probabilities.reduce(0) { $1 > 0 ? $0 + $1 * log($1) : $0 }
  }
}
