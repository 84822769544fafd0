/// Heun's method on dx̄/dσ̄ = ε̂: the slope is the mean of those at both ends, so two predictions a step (Karras et al. 2022, algorithm 1).
///
/// The last step, to the data, is Euler's: the slope is unknown at σ̄ = 0.
public struct Heun: Sampler {
  /// Whether x_T is taken times √(1−ᾱ_T), as diffusers does under linspace and trailing spacing.
  public let scalesStart: Bool

  /// - Parameter scalesStart: as diffusers under linspace and trailing spacing.
  public init(scalesStart: Bool = false) { self.scalesStart = scalesStart }

  /// Two predictions, one in the step to the data; no noise.
  public func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    try Self.step(scalesStart ? context.scaledStart(xt) : xt, from: context.transition.from, context)
  }

  /// The step from any level to the one that the transition leads to.
  static func step(
    _ xt: Images, from t: Timestep, _ context: StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let s = context.transition.to
    let (from, to) = (context.level(t), context.level(s))
    let denoised = try context.explain(xt, at: t)
    let predicted = to.xt(x0: denoised.x0, epsilon: denoised.ε)
    guard s > .data else { return context.result(predicted, denoised) }

    // As Euler's step with (ε̂ + ε̂')/2 as slope, and ε̂' = ε̂ + (x̂_0 − x̂_0')/σ̄_s:
    // x_s = √(1−ᾱ_s) ε̂ + √ᾱ_s [x̂_0 + ½ (1 − σ̄_t/σ̄_s) (x̂_0 − x̂_0')]
    let there = try context.explain(predicted, at: s)
    return context.result(
      predicted + to.sqrtᾱ * 0.5 * (1 - from.σ̄ / to.σ̄) * (denoised.x0 - there.x0), denoised)
  }
}
