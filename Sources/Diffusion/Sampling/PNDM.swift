/// Pseudo numerical methods (Liu et al. 2022): DDIM's step φ(x_t, ε̂, t, s), given a better ε̂ than the last prediction. PNDM begins with
/// three Runge-Kutta steps of four predictions each, PLMS with one of two; both go on by Adams-Bashforth of fourth order (their eq. 12).
///
/// The weights are those of even steps in t: give it a spacing whose steps are even.
public struct PNDM: Sampler {
  /// Whether it is PLMS: no Runge-Kutta steps (diffusers' `skip_prk_steps`).
  public let skipsRungeKutta: Bool
  /// What the last step aims at: the data, or level 1 (diffusers' `set_alpha_to_one` false).
  public let final: Timestep
  /// How many levels a step descends, as diffusers counts it (T/n rounded down); to the next visited level unless given.
  public let stride: Int?

  /// ε̂ of the steps, the newest first.
  private var history: [Images] = []

  /// - Parameter stride: levels that a step descends; nil for to the next visited level.
  public init(skipsRungeKutta: Bool = false, final: Timestep = .data, stride: Int? = nil) {
    self.skipsRungeKutta = skipsRungeKutta
    self.final = final
    self.stride = stride
  }

  /// From each level to the next or, with a ``stride``, so far down; at the end to ``final``.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] {
    Transition.chain(timesteps, to: final, stride: stride)
  }

  /// The coefficients of ε̂, the newest first, by how many are known (eq. 12 and its lower orders).
  static let weights: [[Double]] = [
    [1], [3.0 / 2, -1.0 / 2], [23.0 / 12, -16.0 / 12, 5.0 / 12], [55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24],
  ]

  /// One prediction; four in each of the first three steps of PNDM, two in the first of PLMS. No noise.
  public mutating func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let denoised = try context.explain(xt, at: t)
    let known = Array(([denoised.ε] + history).prefix(4))

    var ε = StepCoefficients(x: 0, predictions: Self.weights[known.count - 1])(xt, known)
    // Nothing can be predicted at the data, so a step that leads there is a multistep one.
    if context.index < 3 && !skipsRungeKutta && s > .data {
      // ε̂ = (ε̂₁ + 2 ε̂₂ + 2 ε̂₃ + ε̂₄)/6 (eq. 13)
      let middle = Timestep(s.number + (t.number - s.number) / 2)
      let ε1 = denoised.ε
      let ε2 = try context.explain(transfer(xt, ε1, t, middle, context), at: middle).ε
      let ε3 = try context.explain(transfer(xt, ε2, t, middle, context), at: middle).ε
      let ε4 = try context.explain(transfer(xt, ε3, t, s, context), at: s).ε
      ε = StepCoefficients(x: 0, predictions: [1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6])(xt, [ε1, ε2, ε3, ε4])
    } else if context.index == 0 && skipsRungeKutta && s > .data {
      ε = 0.5 * (ε + (try context.explain(transfer(xt, ε, t, s, context), at: s).ε))
    }
    // Only now: where a prediction throws, the step was not taken, and may be tried again.
    history = known
    let x0 = context.level(t).x0(epsilon: ε, xt: xt)
    return StepResult(
      x: context.level(s).xt(x0: x0, epsilon: ε), x0: x0, decoderLogVariance: context.decoderLogVariance(denoised))
  }

  /// φ: x_s = √ᾱ_s (x_t − √(1−ᾱ_t) ε̂)/√ᾱ_t + √(1−ᾱ_s) ε̂ (eq. 11)
  private func transfer(
    _ x: Images, _ ε: Images, _ t: Timestep, _ s: Timestep, _ context: StepContext<some Denoiser, some NoiseSource>
  ) -> Images {
    context.level(s).xt(x0: context.level(t).x0(epsilon: ε, xt: x), epsilon: ε)
  }
}
