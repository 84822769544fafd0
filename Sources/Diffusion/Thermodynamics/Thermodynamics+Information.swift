import Platform

/// I(x_0; x_t) as the area under a curve of squared errors.
///
/// With γ = ᾱ/(1 − ᾱ), x_t/√(1−ᾱ) = √γ x_0 + ε is a Gaussian channel, for which dI/dγ = ½ mmse_x(γ) (Guo, Shamai & Verdú 2005,
/// theorems 1 and 2; Kong, Brekelmans & Ver Steeg 2023 for diffusion). mmse_ε = γ mmse_x, so dI/d ln γ = ½ mmse_ε.
extension Thermodynamics {
  /// I(x_0; x_t) in nats, estimated and enclosed.
  public struct Information: Sendable, Equatable {
    /// The area with errors taken as powers of γ between neighbouring t.
    public let estimate: Measured
    /// Areas with the errors of the cleaner and of the noisier end of each step. Least errors fall as γ grows, so theirs enclose I; a
    /// network's errors are larger, and their `upper` is still above I.
    public let lower: Measured
    /// The area with the errors of the noisier end of each step; see ``lower``.
    public let upper: Measured
  }

  /// How errors measured at different t are related.
  public enum Correlation: Sendable {
    /// Nothing is known, as for the same images at every t: the error of a sum is at most the sum of errors.
    case unknown
    /// Drawn afresh at each t: squares add.
    case independent
    /// The standard errors of the sums I(x_0; x_t) themselves, at t = 1…T (index t − 1), where they were measured.
    case known([Double])
  }

  /// I(x_0; x_t) at t = 1…T (index t − 1).
  ///
  /// - Parameter εErrors: E‖ε − ε̂‖², summed over dimensions, at t = 1…T (index t − 1).
  public func information(_ εErrors: [Measured], correlation: Correlation = .unknown) -> [Information] {
    precondition(εErrors.count == schedule.T, "\(εErrors.count) errors for T = \(schedule.T)")
    if case .known(let sums) = correlation {
      precondition(sums.count == schedule.T, "\(sums.count) errors of sums for T = \(schedule.T)")
    }
    let γ = schedule.snr
    var (estimate, lower, upper) = (Area(correlation), Area(correlation), Area(correlation))
    var result: [Information] = []
    for t in schedule.timesteps.reversed() {
      let error = εErrors[t.number - 1]
      if t == schedule.last {
        // From γ = 0 on: at most ½ γ_T E‖x_0‖², at least ½ γ_T mmse_x(γ_T) = ½ mmse_ε, and about that, being small.
        estimate.add(0.5 * error)
        lower.add(0.5 * error)
        upper.add(Measured(0.5 * γ[t] * secondMoment))
      } else {
        let noisier = Timestep(t.number + 1)
        let before = εErrors[noisier.number - 1]
        // ½ (γ_t − γ_{t+1}) mmse_x at either end, mmse_x = mmse_ε/γ
        lower.add(0.5 * (1 - γ[noisier] / γ[t]) * error)
        // This is L_t of the network with σ² = β̃ (Kingma et al. 2021, "Variational diffusion models"): its bound is an upper sum of I.
        let x0Error = γ[noisier] > 0 ? before.value / γ[noisier] : secondMoment
        let width = γ[t] - γ[noisier]
        upper.add(Measured(0.5 * width * x0Error, error: γ[noisier] > 0 ? 0.5 * width / γ[noisier] * before.error : 0))
        if γ[noisier] > 0 {
          // ½ ∫ mmse_ε d ln γ, mmse_ε a power of γ: the logarithmic mean of its ends
          let step = 0.5 * log(γ[t] / γ[noisier])
          estimate.add(
            Measured(
              step * Self.logarithmicMean(error.value, before.value), error: step * 0.5 * (error.error + before.error)))
        } else {
          estimate.add(0.5 * error)
        }
      }
      result.append(
        Information(estimate: estimate.sum(to: t), lower: lower.sum(to: t), upper: upper.sum(to: t)))
    }
    return result.reversed()
  }

  /// (a − b) / ln(a/b), which is a where both agree.
  private static func logarithmicMean(_ a: Double, _ b: Double) -> Double {
    guard a > 0, b > 0 else { return 0.5 * (a + b) }
    let x = log(a / b)
    // b (e^x − 1)/x
    return abs(x) < 1e-9 ? 0.5 * (a + b) : b * expm1(x) / x
  }

  /// A sum of measured values.
  private struct Area {
    let correlation: Correlation
    var value = 0.0
    var error = 0.0

    init(_ correlation: Correlation) { self.correlation = correlation }

    /// The area over t…T.
    func sum(to t: Timestep) -> Measured {
      if case .known(let errors) = correlation { return Measured(value, error: errors[t.number - 1]) }
      return Measured(value, error: error)
    }

    mutating func add(_ term: Measured) {
      value += term.value
      switch correlation {
      case .unknown, .known: error += term.error
      case .independent: error = (error * error + term.error * term.error).squareRoot()
      }
    }
  }
}
