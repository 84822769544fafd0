import Platform

/// The paper's sampler (Ho et al. 2020, algorithm 2): draws from p_θ(x_s | x_t), all T steps or fewer.
///
/// Fewer steps use the posterior between the visited levels; the network is told the original t.
public struct Ancestral: Sampler {
  /// Whether the step to the data adds noise too unless it leaves t = 1, as diffusers does: the images then end noisy.
  public let noisyEnd: Bool

  /// - Parameter noisyEnd: as diffusers; false gives the mean of the last step.
  public init(noisyEnd: Bool = false) { self.noisyEnd = noisyEnd }

  /// One prediction; fresh noise but in the step to the data.
  public func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let denoised = try context.denoise(xt, at: t)
    let μ = context.process.mean(denoised, xt: xt, at: t, to: s)
    if s == .data && !(noisyEnd && t > 1) { return context.result(μ, denoised) }

    // x_s = μ + σ z
    let z = try context.drawNoise(like: xt)
    let logVariance =
      s == .data ? noisyLogVariance(denoised, context) : context.process.logVariance(denoised, at: t, to: s)
    switch logVariance {
    case .uniform(let logσ²): return context.result(μ + exp(logσ² / 2) * z, denoised)
    case .each(let logσ²): return context.result(μ + logσ².map { exp($0 / 2) } * z, denoised)
    }
  }

  /// ln σ² of diffusers' noisy end: β̃ = 0 counts as 10⁻²⁰ there, and β = 1 − ᾱ_t.
  private func noisyLogVariance(
    _ denoised: Denoised, _ context: StepContext<some Denoiser, some NoiseSource>
  ) -> LogVariance {
    let (least, most) = (log(1e-20), log(1 - context.schedule.ᾱ[context.transition.from]))
    guard let sθ = denoised.variance, context.process.variance == .learnedRange else {
      return .uniform(context.process.variance == .fixedLarge ? most : least)
    }
    return .each(sθ.map { Float((Double($0) + 1) / 2 * most + (1 - Double($0)) / 2 * least) })
  }
}
