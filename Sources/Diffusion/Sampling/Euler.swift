/// Euler's method on the probability-flow ODE dx̄/dσ̄ = ε̂ with x̄ = x/√ᾱ and σ̄ = √((1−ᾱ)/ᾱ)
/// (Song, Meng & Ermon 2021, eq. 14; Karras et al. 2022).
///
/// In exact arithmetic this is DDIM with η = 0 and `rederivesNoise`: ε̂ explains x_t together with the limited x̂_0.
public struct Euler: Sampler {
  /// What the last step aims at: the data, or level 1 (diffusers' `final_sigmas_type` "sigma_min").
  public let final: Timestep
  /// Whether x_T is taken times √(1−ᾱ_T), as diffusers does under linspace and trailing spacing.
  public let scalesStart: Bool

  /// - Parameter final: the data, or level 1.
  public init(final: Timestep = .data, scalesStart: Bool = false) {
    self.final = final
    self.scalesStart = scalesStart
  }

  /// From each level to the next, the last to ``final``.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] { Transition.chain(timesteps, to: final) }

  /// One prediction, no noise.
  public func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let x = scalesStart ? context.scaledStart(xt) : xt
    let denoised = try context.explain(x, at: context.transition.from)
    // x_s = √ᾱ_s (x_t/√ᾱ_t + (σ̄_s − σ̄_t) slope) with ε̂ as slope; where σ̄ is large the two would all but cancel, so it is written
    // x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s) ε̂
    return context.result(context.level(context.transition.to).xt(x0: denoised.x0, epsilon: denoised.ε), denoised)
  }
}

extension StepContext {
  /// x_T times √(1−ᾱ_T), in the first step: what diffusers' σ-based schedulers begin with.
  func scaledStart(_ x: Images) -> Images { index == 0 ? level(transition.from).sqrtOneMinusᾱ * x : x }
}
