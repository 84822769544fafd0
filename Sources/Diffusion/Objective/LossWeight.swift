import Platform

/// The factor before the squared error of the network's output at each t.
public enum LossWeight: Sendable, Hashable {
  /// 1: L_simple (Ho et al. 2020, eq. 14).
  case simple
  /// The weight that makes the squared error L_{t−1} itself, in nats (eq. 12 for ε).
  case bound
  /// min(SNR, γ) of the x_0 error (Hang et al. 2023), 5 in the paper. Where the schedule ends at zero SNR it is min(SNR + 1, γ), the weight
  /// that v's own error carries: else nothing would be learned at T, where sampling begins.
  case minSNR(gamma: Double = 5)
}

extension ReverseProcess {
  /// The factor before ‖target − output‖² at `t`, for what this process's network predicts.
  public func weight(_ weight: LossWeight, at t: Timestep) -> Double {
    switch weight {
    case .simple: 1
    case .bound: boundWeight(at: t)
    case .minSNR(let γ):
      min(schedule.snr[t] + (schedule.snr[schedule.last] == 0 ? 1 : 0), γ) * x0ErrorPerOutputError(at: t)
    }
  }

  /// L_{t−1} = weight · ‖target − output‖², up to a term without parameters, for the fixed variances.
  ///
  /// For t = 1 it is the continuous decoder's, with the width β̃_2.
  public func boundWeight(at t: Timestep) -> Double {
    precondition(
      !variance.isLearned, "the weight of the bound is for fixed variances; a learned one has the hybrid objective")
    let σ² = exp(fixedLogVariance(at: t))
    switch prediction {
    case .epsilon:
      // β_t² / (2 σ_t² α_t (1 − ᾱ_t))
      let β = schedule.β[t]
      return β * β / (2 * σ² * schedule.α[t] * (1 - schedule.ᾱ[t]))
    case .mean:
      // 1 / (2 σ_t²) (eq. 8)
      return 1 / (2 * σ²)
    case .sample, .velocity:
      // ‖μ̃ − μ‖² / (2 σ_t²), where the means differ by c ‖x_0 − x̂_0‖
      let c = schedule.posterior(t).x0Coefficient
      return c * c / (2 * σ²) * x0ErrorPerOutputError(at: t)
    }
  }

  /// ‖x_0 − x̂_0‖² / ‖target − output‖².
  func x0ErrorPerOutputError(at t: Timestep) -> Double {
    switch prediction {
    case .epsilon: return 1 / schedule.snr[t]
    case .sample: return 1
    case .velocity: return 1 - schedule.ᾱ[t]
    case .mean:
      let c = schedule.posterior(t).x0Coefficient
      return 1 / (c * c)
    }
  }
}
