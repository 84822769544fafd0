#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The paper's sampler (Ho et al. 2020, algorithm 2): draws from p_θ(x_s | x_t), all T steps or fewer.
///
/// Fewer steps use the posterior between the visited levels; the network is told the original t.
public struct Ancestral: Sampler {
  public init() {}

  public func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let denoised = try context.denoise(xt, at: t)
    let μ = context.process.mean(denoised, xt: xt, at: t, to: s)
    if s == .data {
      return StepResult(x: μ, x0: denoised.x0, decoderLogVariance: context.decoderLogVariance(denoised))
    }

    // x_s = μ + σ z
    let z = try context.drawNoise(like: xt)
    switch context.process.logVariance(denoised, at: t, to: s) {
    case .uniform(let logσ²): return StepResult(x: μ + exp(logσ² / 2) * z, x0: denoised.x0)
    case .each(let logσ²): return StepResult(x: μ + logσ².map { exp($0 / 2) } * z, x0: denoised.x0)
    }
  }
}
