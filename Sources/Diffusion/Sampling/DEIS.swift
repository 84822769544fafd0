import Platform

/// DEIS (Zhang & Chen 2022, "tAB-DEIS" in ln ρ): as `LMS`, but the polynomial through the last values of ε̂ is one in ln σ̄.
public struct DEIS: Sampler {
  /// 1 (DDIM with η = 0 and `rederivesNoise`), 2 or 3.
  public let order: Int
  /// Under 15 steps, whether the last two fall to second and first order.
  public let lowerOrderFinal: Bool
  /// What the last step aims at: the data, or level 1, where diffusers always ends.
  public let final: Timestep

  /// ε̂ of the steps, the newest first.
  private var history: [(ε: Images, level: NoiseLevel<Double>)] = []

  /// - Parameter order: 1 to 3.
  public init(order: Int = 2, lowerOrderFinal: Bool = true, final: Timestep = .data) {
    precondition((1...3).contains(order), "DEIS of order \(order): 1 to 3 are here")
    self.order = order
    self.lowerOrderFinal = lowerOrderFinal
    self.final = final
  }

  /// From each level to the next, the last to ``final``.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] { Transition.chain(timesteps, to: final) }

  /// One prediction, remembered for later steps.
  public mutating func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let denoised = try context.explain(xt, at: t)
    history.insert((denoised.ε, context.level(t)), at: 0)
    history = Array(history.prefix(order))
    // ln σ̄ = −∞ for the data: no polynomial leads there but the constant.
    if s == .data { return context.result(denoised.x0, denoised) }
    if s == t { return context.result(xt, denoised) }
    let left = context.count - context.index
    let used = history.prefix(lowerOrderFinal && context.count < 15 ? min(left, order) : order)
    return context.result(
      coefficients(to: context.level(s), from: used.map(\.level))(xt, [denoised.x0] + used.map(\.ε)), denoised)
  }

  /// The coefficients of x̂_0, and of ε̂ at the given levels, the newest first.
  public func coefficients(to s: NoiseLevel<Double>, from levels: [NoiseLevel<Double>]) -> StepCoefficients {
    let t = levels[0]
    // Σ_j w_j u_j^k = ∫ u^k dσ̄ from σ̄_t to σ̄_s, with u = ln(σ̄/σ̄_t) = λ_t − λ
    let L = t.λ - s.λ
    // ∫ u^k dσ̄ = σ̄_t ∫_0^L u^k e^u du = σ̄_t I_k, I_k = L^k e^L − k I_{k−1}
    var I = [expm1(L)]
    for k in 1..<max(levels.count, 1) { I.append(pow(L, Double(k)) * exp(L) - Double(k) * I[k - 1]) }
    let weights = quadratureWeights(nodes: levels.map { t.λ - $0.λ }, moments: Array(I.prefix(levels.count)))
    return StepCoefficients(flowingTo: s, weights: weights.map { t.σ̄ * $0 })
  }
}
