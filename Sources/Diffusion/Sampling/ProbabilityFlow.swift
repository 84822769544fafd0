/// Euler's method on the probability-flow ODE dx̄/dσ̄ = ε̂ with x̄ = x/√ᾱ and σ̄ = √((1−ᾱ)/ᾱ)
/// (Song, Meng & Ermon 2021, eq. 14; Karras et al. 2022).
///
/// In exact arithmetic this is DDIM with η = 0 and `rederivesNoise`: ε̂ explains x_t together with the limited x̂_0.
public struct Euler: Sampler {
  public init() {}

  public func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let flow = ProbabilityFlow(context.schedule, context.transition)
    let denoised = try context.denoise(xt, at: context.transition.from)
    let x0 = denoised.x0
    return StepResult(
      x: flow.step(xt, slope: flow.from.epsilon(x0: x0, xt: xt)), x0: x0,
      decoderLogVariance: context.decoderLogVariance(denoised))
  }
}

/// Heun's method on the same ODE: the slope is the mean of those at both ends, so two predictions a step (Karras et al. 2022, algorithm 1).
///
/// The last step, to the data, is Euler's: the slope is unknown at σ̄ = 0.
public struct Heun: Sampler {
  public init() {}

  public func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let flow = ProbabilityFlow(context.schedule, context.transition)
    let denoised = try context.denoise(xt, at: t)
    let x0 = denoised.x0
    let slope = flow.from.epsilon(x0: x0, xt: xt)
    let predicted = flow.step(xt, slope: slope)
    guard s > .data else {
      return StepResult(x: predicted, x0: x0, decoderLogVariance: context.decoderLogVariance(denoised))
    }

    let slopeThere = flow.to.epsilon(x0: try context.denoise(predicted, at: s).x0, xt: predicted)
    return StepResult(x: flow.step(xt, slope: 0.5 * (slope + slopeThere)), x0: x0)
  }
}

/// One step of the ODE between two levels.
private struct ProbabilityFlow {
  let from: NoiseLevel<Double>
  let to: NoiseLevel<Double>

  init(_ schedule: NoiseSchedule, _ transition: Transition) {
    from = schedule.finiteLevel(transition.from)
    to = schedule.finiteLevel(transition.to)
  }

  /// x_s = √ᾱ_s (x_t/√ᾱ_t + (σ̄_s − σ̄_t) slope)
  func step(_ xt: Images, slope: Images) -> Images {
    to.sqrtᾱ / from.sqrtᾱ * xt + to.sqrtᾱ * (to.σ̄ - from.σ̄) * slope
  }
}
