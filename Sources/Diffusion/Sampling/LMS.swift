/// The linear multistep method (Adams-Bashforth) on dx̄/dσ̄ = ε̂ with x̄ = x/√ᾱ: the polynomial in σ̄ through the last values of ε̂,
/// integrated exactly (as in k-diffusion and diffusers).
public struct LMS: Sampler {
  /// How many values of ε̂; the first steps have fewer.
  public let order: Int
  /// Whether x_T is taken times √(1−ᾱ_T), as diffusers does under linspace and trailing spacing.
  public let scalesStart: Bool

  /// ε̂ of the steps, the newest first.
  private var history: [(ε: Images, level: NoiseLevel<Double>)] = []

  /// - Parameter order: 1 to 4.
  public init(order: Int = 4, scalesStart: Bool = false) {
    precondition((1...4).contains(order), "a linear multistep method of order \(order): 1 to 4 are here")
    self.order = order
    self.scalesStart = scalesStart
  }

  /// One prediction, remembered for later steps; no noise.
  public mutating func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let x = scalesStart ? context.scaledStart(xt) : xt
    let denoised = try context.explain(x, at: t)
    history.insert((denoised.ε, context.level(t)), at: 0)
    history = Array(history.prefix(order))
    return context.result(
      coefficients(to: context.level(s), from: history.map(\.level))(x, [denoised.x0] + history.map(\.ε)), denoised)
  }

  /// The coefficients of x̂_0, and of ε̂ at the given levels, the newest first.
  public func coefficients(to s: NoiseLevel<Double>, from levels: [NoiseLevel<Double>]) -> StepCoefficients {
    // Σ_j w_j σ̄_j^k = ∫ σ̄^k dσ̄ from σ̄_t to σ̄_s, in units of the step and counted from σ̄_t.
    let (σ̄, Δ) = (levels[0].σ̄, s.σ̄ - levels[0].σ̄)
    let weights = quadratureWeights(
      nodes: levels.map { ($0.σ̄ - σ̄) / Δ }, moments: levels.indices.map { 1 / Double($0 + 1) })
    return StepCoefficients(flowingTo: s, weights: weights.map { Δ * $0 })
  }
}

extension StepCoefficients {
  /// The step x̄_s = x̄_t + Σ_j w_j ε̂_j with Σ_j w_j = σ̄_s − σ̄_t, of x̂_0 and the ε̂_j, the newest first.
  ///
  /// x_t itself is left out: where σ̄ is in the thousands it would all but cancel the first ε̂.
  init(flowingTo s: NoiseLevel<Double>, weights w: [Double]) {
    // x_s = √ᾱ_s x̂_0 + √(1−ᾱ_s) ε̂_0 + √ᾱ_s Σ_{j>0} w_j (ε̂_j − ε̂_0)
    let others = w.dropFirst().map { s.sqrtᾱ * $0 }
    self.init(x: 0, predictions: [s.sqrtᾱ, s.sqrtOneMinusᾱ - others.reduce(0, +)] + others)
  }
}
