/// The stochastic sampler of Karras et al. 2022, algorithm 2: each step first adds noise ("churn"), from σ̄ to σ̂ = (1 + γ) σ̄, and then
/// solves the ODE from there by Heun's method. Without churn it is `Heun`.
///
/// The network is told the level that σ̂ is, as a rule between two timesteps; σ̂ does not exceed σ̄_T.
public struct EDM: Sampler {
  /// S_churn: γ = min(S_churn/n, √2 − 1) in each of n steps.
  public let churn: Double
  /// [S_tmin, S_tmax]: the σ̄ at which noise is added.
  public let range: ClosedRange<Double>
  /// S_noise: the deviation of the added noise, a little over 1 since networks remove a little too much.
  public let inflation: Double

  /// The defaults are the authors' for CIFAR-10 with the noise schedule of DDPM (their table 5, "VP").
  public init(churn: Double = 30, range: ClosedRange<Double> = 0.01...1, inflation: Double = 1.007) {
    precondition(churn >= 0 && inflation >= 0, "churn \(churn) and inflation \(inflation) are not below 0")
    self.churn = churn
    self.range = range
    self.inflation = inflation
  }

  /// Two predictions, one in the step to the data; fresh noise where σ̄ lies in ``range``.
  public func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let t = context.transition.from
    let from = context.level(t)
    // γ = min(S_churn/n, √2 − 1) where S_tmin ≤ σ̄ ≤ S_tmax, else 0
    let γ = range.contains(from.σ̄) ? min(churn / Double(context.count), 2.squareRoot() - 1) : 0
    let noisier = γ > 0 ? context.schedule.timestep(sigmaBar: (1 + γ) * from.σ̄) : t
    guard noisier > t else { return try Heun.step(xt, from: t, context) }

    // x̂/√ᾱ̂ = x_t/√ᾱ_t + √(σ̂² − σ̄²) S_noise z
    let to = context.level(noisier)
    let added = (to.σ̄ * to.σ̄ - from.σ̄ * from.σ̄).squareRoot()
    let z = try context.drawNoise(like: xt)
    let x = to.sqrtᾱ / from.sqrtᾱ * xt + to.sqrtᾱ * added * inflation * z
    return try Heun.step(x, from: noisier, context)
  }
}
