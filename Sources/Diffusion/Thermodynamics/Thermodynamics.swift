import Platform

/// The forward process as physics: x_t relaxes towards the equilibrium π = N(0, I), the thermal state of the energy ½‖x‖² at k_B T = 1.
///
/// Read this first. All quantities are in nats, of the whole x_t (not a dimension), and follow from four things: the schedule, the dimension
/// D, E‖x_0‖², and one function of t, either the entropy H(x_t), the information I(x_0; x_t) or the least squared error mmse_ε(t).
public struct Thermodynamics: Sendable {
  /// ᾱ_t and β_t.
  public let schedule: NoiseSchedule
  /// D.
  public let dimension: Int
  /// E‖x_0‖².
  public let secondMoment: Double

  /// - Parameters:
  ///   - dimension: D, of one sample.
  ///   - secondMoment: E‖x_0‖², summed over dimensions.
  public init(_ schedule: NoiseSchedule, dimension: Int, secondMoment: Double) {
    precondition(dimension > 0, "data of dimension \(dimension)")
    self.schedule = schedule
    self.dimension = dimension
    self.secondMoment = secondMoment
  }

  var D: Double { Double(dimension) }

  /// H of N(·, σ² I): (D/2) ln 2πe σ².
  func gaussianEntropy(variance σ²: Double) -> Double { D / 2 * log(2 * .pi * M_E * σ²) }

  /// H(x_t) of the information that x_t keeps of x_0: the rest of it is the noise's own entropy.
  public func entropy(information: Double, at t: Timestep) -> Double {
    // H(x_t) = I(x_0; x_t) + (D/2) ln 2πe(1 − ᾱ_t)
    information + gaussianEntropy(variance: 1 - schedule.ᾱ[t])
  }

  /// I(x_0; x_t) of the entropy of x_t.
  public func information(entropy: Double, at t: Timestep) -> Double {
    entropy - gaussianEntropy(variance: 1 - schedule.ᾱ[t])
  }

  /// E‖x_t‖² = ᾱ_t E‖x_0‖² + (1 − ᾱ_t) D; half of it is the mean energy.
  public func secondMoment(at t: Timestep) -> Double { schedule.ᾱ[t] * secondMoment + (1 - schedule.ᾱ[t]) * D }

  /// The free energy of x_t.
  public func freeEnergy(entropy: Double, at t: Timestep) -> Double {
    // F = ½ E‖x_t‖² − H(x_t)
    0.5 * secondMoment(at: t) - entropy
  }

  /// KL(q_t ‖ π): how far x_t is from equilibrium. It falls at every step, whatever the data, also where H falls.
  public func divergence(entropy: Double, at t: Timestep) -> Double {
    // KL(q_t ‖ π) = F + (D/2) ln 2π
    freeEnergy(entropy: entropy, at: t) + D / 2 * log(2 * .pi)
  }

  /// KL(q_{t−1} ‖ π) − KL(q_t ‖ π) ≥ 0 of H(x_{t−1}) and H(x_t): what the step produces in entropy, in x and its bath together. The sum
  /// over all steps is KL(q_0 ‖ π) − KL(q_T ‖ π).
  public func production(entropyBefore: Double, entropy: Double, at t: Timestep) -> Double {
    // Δ = (H(x_t) − H(x_{t−1})) − ½ (E‖x_t‖² − E‖x_{t−1}‖²): the entropy that x gains, less the heat that it takes up
    entropy - entropyBefore - 0.5 * (secondMoment(at: t) - secondMoment(at: t.previous))
  }

  /// J(q_t) = E‖∇ln q_t‖², the Fisher information.
  public func fisherInformation(epsilonError εError: Double, at t: Timestep) -> Double {
    // J = (D − mmse_ε) / (1 − ᾱ_t), since ∇ln q_t = −E[ε | x_t]/√(1 − ᾱ_t)
    (D - εError) / (1 - schedule.ᾱ[t])
  }

  /// −dKL(q_t ‖ π)/dτ in the time τ = −½ ln ᾱ, in which x_t obeys dx = −x dτ + √2 dW.
  public func productionRate(epsilonError εError: Double, at t: Timestep) -> Double {
    // −dKL/dτ = E‖∇ln q_t + x_t‖² = J − 2D + E‖x_t‖²
    fisherInformation(epsilonError: εError, at: t) - 2 * D + secondMoment(at: t)
  }

  /// E KL(q(x_t | x_0) ‖ π): the bound's L_T, at any t. It is I(x_0; x_t) + KL(q_t ‖ π).
  public func priorDivergence(at t: Timestep) -> Double {
    // ½ (ᾱ_t E‖x_0‖² − D ᾱ_t − D ln(1 − ᾱ_t))
    0.5 * (schedule.ᾱ[t] * (secondMoment - D) - D * log1p(-schedule.ᾱ[t]))
  }

  /// H(x_{t−1} | x_t) of H(x_{t−1}) and H(x_t).
  public func reverseEntropy(entropyBefore: Double, entropy: Double, at t: Timestep) -> Double {
    // H(x_{t−1} | x_t) = H(x_{t−1}) + H(x_t | x_{t−1}) − H(x_t)
    entropyBefore + gaussianEntropy(variance: schedule.β[t]) - entropy
  }

  /// The ends between which H(x_{t−1} | x_t) is said to lie (Sohl-Dickstein et al. 2015, eq. 24), for t > 1: the entropies of N(·, β̃ I)
  /// and N(·, β I). The lower one always holds. The upper one is H(x_t) ≥ H(x_{t−1}) said otherwise, and fails where H falls.
  public func reverseEntropyBounds(at t: Timestep) -> (lower: Double, upper: Double) {
    // (D/2) ln 2πe β̃_t ≤ H(x_{t−1} | x_t) ≤ (D/2) ln 2πe β_t
    (gaussianEntropy(variance: schedule.posteriorVariance(t)), gaussianEntropy(variance: schedule.β[t]))
  }
}
