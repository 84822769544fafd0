/// Denoising diffusion implicit models (Song, Meng & Ermon 2021, eq. 12): deterministic for η = 0, ancestral's variance for η = 1.
public struct DDIM: Sampler {
  /// η: σ as a fraction of √β̃.
  public let η: Double
  /// Whether ε̂ is derived again from the limited x̂_0, so that the pair still explains x_t: the better choice, but false by default as
  /// diffusers' `use_clipped_model_output`, so that the same seed noise gives the same image there and here.
  public let rederivesNoise: Bool
  /// What the last step aims at: the data, or level 1 (diffusers' `set_alpha_to_one` false).
  public let final: Timestep
  /// How many levels a step descends, whatever level is visited next: diffusers' rule, with T/n rounded down. To the next unless given.
  public let stride: Int?

  /// - Parameters:
  ///   - eta: η, in [0, 1].
  ///   - stride: levels that a step descends; nil for to the next visited level.
  public init(eta: Double = 0, rederivesNoise: Bool = false, final: Timestep = .data, stride: Int? = nil) {
    precondition(eta >= 0 && eta <= 1, "η = \(eta) lies outside [0, 1]")
    η = eta
    self.rederivesNoise = rederivesNoise
    self.final = final
    self.stride = stride
  }

  /// η, by a name that any keyboard types.
  public var eta: Double { η }

  /// From each level to the next or, with a ``stride``, so far down; at the end to ``final``.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] {
    // A chain that visits level 1 already has nowhere left to go, as in diffusers: its last step then changes the level by nothing.
    Transition.chain(timesteps, to: final, stride: stride)
  }

  /// One prediction; fresh noise where η > 0 and the step does not lead to the data.
  public func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let schedule = context.schedule
    let denoised = try context.denoise(xt, at: t)
    let ε = rederivesNoise ? schedule.level(t).epsilon(x0: denoised.x0, xt: xt) : denoised.ε

    // σ = η √β̃
    let σ = η > 0 && s > .data && s < t ? η * schedule.posteriorVariance(t, to: s).squareRoot() : 0
    // x_s = √ᾱ_s x̂_0 + √(1 − ᾱ_s − σ²) ε̂ + σ z
    let towards = max(0, 1 - schedule.ᾱ[s] - σ * σ).squareRoot()
    var x = NoiseLevel(sqrtAlphaBar: schedule.sqrtᾱ[s], sqrtOneMinusAlphaBar: towards).xt(x0: denoised.x0, epsilon: ε)
    if σ > 0 { x = x + σ * (try context.drawNoise(like: xt)) }
    return context.result(x, denoised)
  }
}

/// DDIM with η = 0 run backwards: from an image to the x_T that DDIM samples it from.
///
/// A step solves x_s = DDIM(x_t) for x_t. It starts from ε̂(x_s, t), which is where diffusers stops, and `refinements` fixed-point
/// iterations with ε̂(x_t, t) make the inversion exact.
public struct DDIMInversion: Sampler {
  /// Each takes one prediction more a step; 0 is diffusers' inversion.
  public let refinements: Int

  /// - Parameter refinements: 0 or more.
  public init(refinements: Int = 0) {
    precondition(refinements >= 0, "\(refinements) refinements")
    self.refinements = refinements
  }

  /// Upwards: from the data to the lowest level, and from each to the next.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] {
    let ascending = Array(timesteps.reversed())
    return zip([.data] + ascending, ascending).map { Transition(from: $0, to: $1) }
  }

  /// `xs` is x_s, and the result's x is x_t; 1 + ``refinements`` predictions.
  public func step(
    _ xs: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (s, t) = (context.transition.from, context.transition.to)
    let (from, to) = (context.schedule.level(s), context.schedule.level(t))
    var guess = xs
    var x0 = xs
    for _ in 0...refinements {
      let ε = try context.denoise(guess, at: t).ε
      // x_t = √ᾱ_t (x_s − √(1−ᾱ_s) ε̂)/√ᾱ_s + √(1−ᾱ_t) ε̂
      x0 = from.x0(epsilon: ε, xt: xs)
      guess = to.xt(x0: x0, epsilon: ε)
    }
    return StepResult(x: guess, x0: x0)
  }
}
