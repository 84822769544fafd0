#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// DPM-Solver++ (2M): the probability-flow ODE in λ = ln(√ᾱ/√(1−ᾱ)), integrated exactly in its linear part, with x̂_0 extrapolated from
/// this step and the one before (Lu et al. 2022, algorithm 2).
public struct DPMSolverPlusPlus2M: Sampler {
  /// How the second-order term is integrated.
  public enum Correction: String, Sendable, CaseIterable {
    /// x̂_0 in the middle of the step stands for all of it.
    case midpoint
    /// x̂_0 is a line over λ, integrated exactly.
    case heun
  }

  /// 1 (DDIM with η = 0 and `rederivesNoise`) or 2.
  public let order: Int
  public let correction: Correction
  /// Under 15 steps, whether the last is of first order.
  public let lowerOrderFinal: Bool
  /// Whether the last step is always of first order.
  public let eulerAtFinal: Bool
  /// What the last step aims at: the data, or level 1 (diffusers' `final_sigmas_type` "sigma_min").
  public let final: Timestep

  /// x̂_0 of the step before, and its λ.
  private var previous: (x0: Images, λ: Double)?

  public init(
    order: Int = 2, correction: Correction = .midpoint, lowerOrderFinal: Bool = true, eulerAtFinal: Bool = false,
    final: Timestep = .data
  ) {
    precondition((1...2).contains(order), "DPM-Solver++ of order \(order): 1 and 2 are here")
    self.order = order
    self.correction = correction
    self.lowerOrderFinal = lowerOrderFinal
    self.eulerAtFinal = eulerAtFinal
    self.final = final
  }

  public func transitions(_ timesteps: [Timestep]) -> [Transition] {
    zip(timesteps, timesteps.dropFirst() + [final]).map { Transition(from: $0, to: $1) }
  }

  public mutating func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let (from, to) = (context.schedule.finiteLevel(t), context.schedule.finiteLevel(s))
    let denoised = try context.denoise(xt, at: t)
    let x0 = denoised.x0
    let earlier = previous
    previous = (x0, from.λ)

    let isLast = context.index == context.count - 1
    let firstOrder =
      order == 1 || isLast && (eulerAtFinal || lowerOrderFinal && context.count < 15 || final == .data)
    // The data is at λ = +∞, where e^{−h} = 0 and x_s = x̂_0.
    guard s > .data else {
      return StepResult(x: x0, x0: x0, decoderLogVariance: context.decoderLogVariance(denoised))
    }

    // h = λ_s − λ_t
    let h = to.λ - from.λ
    // x_s = √(1−ᾱ_s)/√(1−ᾱ_t) x_t − √ᾱ_s (e^{−h} − 1) D
    let decay = to.sqrtOneMinusᾱ / from.sqrtOneMinusᾱ
    let gain = -to.sqrtᾱ * expm1(-h)
    let x = decay * xt + gain * x0
    guard let earlier, !firstOrder else { return StepResult(x: x, x0: x0) }

    // D = x̂_0 + ½ D₁, D₁ = (x̂_0 − x̂_0')/r, r = (λ_t − λ_t')/h
    let r = (from.λ - earlier.λ) / h
    let weight: Double
    switch correction {
    case .midpoint: weight = gain / 2
    // x_s = √(1−ᾱ_s)/√(1−ᾱ_t) x_t − √ᾱ_s (e^{−h} − 1) x̂_0 + √ᾱ_s ((e^{−h} − 1)/h + 1) D₁
    case .heun: weight = to.sqrtᾱ * (expm1(-h) / h + 1)
    }
    return StepResult(x: x + weight / r * (x0 - earlier.x0), x0: x0)
  }
}
