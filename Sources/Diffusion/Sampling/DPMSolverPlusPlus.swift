import Platform

/// DPM-Solver++, multistep: the probability-flow ODE in λ = ln(√ᾱ/√(1−ᾱ)), integrated exactly in its linear part, with x̂_0 extrapolated
/// from this step and those before (Lu et al. 2022, algorithm 2 for order 2). With noise it solves the reverse SDE instead (their SDE-DPM-Solver++).
public struct DPMSolverPlusPlus: Sampler {
  /// How the second-order term is integrated.
  public enum Correction: String, Sendable, CaseIterable {
    /// x̂_0 in the middle of the step stands for all of it.
    case midpoint
    /// x̂_0 is a line over λ, integrated exactly.
    case heun
  }

  /// 1 (DDIM with η = 0 and `rederivesNoise`), 2 or 3.
  public let order: Int
  /// How the second-order term is integrated, in steps from two predictions.
  public let correction: Correction
  /// Whether fresh noise replaces some of the old in each step: SDE-DPM-Solver++. Order 1 is then DDIM with η = 1 and `rederivesNoise`.
  public let isStochastic: Bool
  /// Under 15 steps, whether the last two fall to second and first order.
  public let lowerOrderFinal: Bool
  /// Whether the last step is always of first order.
  public let eulerAtFinal: Bool
  /// What the last step aims at: the data, or level 1 (diffusers' `final_sigmas_type` "sigma_min").
  public let final: Timestep
  /// Whether order 3 halves its second derivative, as diffusers does; it is then of second order.
  public let halvesCurvature: Bool

  /// x̂_0 of the steps, the newest first.
  private var history: [(x0: Images, level: NoiseLevel<Double>)] = []

  /// - Parameter order: 1 to 3; 2 is advised for guided sampling.
  public init(
    order: Int = 2, correction: Correction = .midpoint, isStochastic: Bool = false, lowerOrderFinal: Bool = true,
    eulerAtFinal: Bool = false, final: Timestep = .data, halvesCurvature: Bool = false
  ) {
    precondition((1...3).contains(order), "DPM-Solver++ of order \(order): 1 to 3 are here")
    self.order = order
    self.correction = correction
    self.isStochastic = isStochastic
    self.lowerOrderFinal = lowerOrderFinal
    self.eulerAtFinal = eulerAtFinal
    self.final = final
    self.halvesCurvature = halvesCurvature
  }

  /// From each level to the next, the last to ``final``.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] { Transition.chain(timesteps, to: final) }

  /// One prediction, remembered for later steps; fresh noise where ``isStochastic``.
  public mutating func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let denoised = try context.explain(xt, at: t)
    let z = isStochastic && s != .data && s != t ? try context.drawNoise(like: xt) : nil
    history.insert((denoised.x0, context.level(t)), at: 0)
    history = Array(history.prefix(order))

    // The data is at λ = +∞, where e^{−h} = 0 and x_s = x̂_0.
    if s == .data { return context.result(denoised.x0, denoised) }
    if s == t { return context.result(xt, denoised) }
    let left = context.count - context.index
    let falls = lowerOrderFinal && context.count < 15
    let most = left == 1 && (eulerAtFinal || falls) ? 1 : left == 2 && falls ? 2 : order
    let used = history.prefix(most)
    return context.result(
      coefficients(to: context.level(s), from: used.map(\.level))(xt, used.map(\.x0), z: z), denoised)
  }

  /// The coefficients of x_t, and of x̂_0 at the given levels, the newest first.
  public func coefficients(to s: NoiseLevel<Double>, from levels: [NoiseLevel<Double>]) -> StepCoefficients {
    let t = levels[0]
    // h = λ_s − λ_t
    let h = s.λ - t.λ
    let φ = exponentialWeights(isStochastic ? 2 * h : h, count: 3)
    var result = StepCoefficients(x: s.sqrtOneMinusᾱ / t.sqrtOneMinusᾱ, predictions: [φ[0]])
    if isStochastic {
      // x_s = √(1−ᾱ_s)/√(1−ᾱ_t) e^{−h} x_t + √ᾱ_s (1 − e^{−2h}) D + √(1−ᾱ_s) √(1 − e^{−2h}) z
      result.x *= exp(-h)
      result.z = s.sqrtOneMinusᾱ * φ[0].squareRoot()
    }
    switch levels.count {
    // x_s = √(1−ᾱ_s)/√(1−ᾱ_t) x_t − √ᾱ_s (e^{−h} − 1) D
    case 1: break
    case 2:
      // D = x̂_0 + ½ D₁, D₁ = (x̂_0 − x̂_0')/r, r = (λ_t − λ_t')/h
      let r = (t.λ - levels[1].λ) / h
      // x_s = √(1−ᾱ_s)/√(1−ᾱ_t) x_t − √ᾱ_s (e^{−h} − 1) x̂_0 + √ᾱ_s ((e^{−h} − 1)/h + 1) D₁
      let weight = correction == .midpoint ? φ[0] / 2 : φ[1]
      result.predictions = [φ[0] + weight / r, -weight / r]
    default:
      // x̂_0 is the parabola through three: x_s = √(1−ᾱ_s)/√(1−ᾱ_t) x_t + √ᾱ_s (φ₁ x̂_0 + φ₂ h x̂_0˙ + φ₃ h² x̂_0¨)
      let (r, q) = ((t.λ - levels[1].λ) / h, (levels[1].λ - levels[2].λ) / h)
      // With D = (x̂_0 − x̂_0')/r and D' = (x̂_0' − x̂_0'')/q: h x̂_0˙ = D + r (D − D')/(r + q), h² x̂_0¨ = 2 (D − D')/(r + q)
      let bend = (φ[1] * r + (halvesCurvature ? 1 : 2) * φ[2]) / (r + q)
      let (a, b) = ((φ[1] + bend) / r, -bend / q)
      result.predictions = [φ[0] + a, b - a, -b]
    }
    result.predictions = result.predictions.map { s.sqrtᾱ * $0 }
    return result
  }
}

/// The order that guided sampling is advised to take, and the default.
public typealias DPMSolverPlusPlus2M = DPMSolverPlusPlus
