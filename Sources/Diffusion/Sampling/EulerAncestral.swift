/// Euler's method with ancestral noise (k-diffusion): down to σ̄_↓ along the ODE, up again to σ̄_s by fresh noise.
///
/// In exact arithmetic this is DDIM with η = 1 and `rederivesNoise`; it is here for levels between two timesteps too.
public struct EulerAncestral: Sampler {
  /// Whether x_T is taken times √(1−ᾱ_T), as diffusers does under linspace and trailing spacing.
  public let scalesStart: Bool

  /// - Parameter scalesStart: as diffusers under linspace and trailing spacing.
  public init(scalesStart: Bool = false) { self.scalesStart = scalesStart }

  /// One prediction; fresh noise but in the step to the data.
  public func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let x = scalesStart ? context.scaledStart(xt) : xt
    let denoised = try context.explain(x, at: t)
    if s == .data { return context.result(denoised.x0, denoised) }
    let z = try context.drawNoise(like: xt)
    return context.result(
      coefficients(to: context.level(s), from: context.level(t))(x, [denoised.x0, denoised.ε], z: z), denoised)
  }

  /// The coefficients of x̂_0, ε̂ and z.
  public func coefficients(to s: NoiseLevel<Double>, from t: NoiseLevel<Double>) -> StepCoefficients {
    // σ̄_↑² = σ̄_s² (σ̄_t² − σ̄_s²)/σ̄_t², σ̄_↓² = σ̄_s² − σ̄_↑² = σ̄_s⁴/σ̄_t²
    let ratio = s.σ̄ / t.σ̄
    // x_s = √ᾱ_s (x̂_0 + σ̄_↓ ε̂ + σ̄_↑ z)
    return StepCoefficients(
      x: 0, predictions: [s.sqrtᾱ, s.sqrtOneMinusᾱ * ratio],
      z: s.sqrtOneMinusᾱ * max(0, 1 - ratio * ratio).squareRoot())
  }
}
