/// DPM-Solver++, singlestep: each block of `order` predictions starts afresh from its first x, so that no history is needed
/// (Lu et al. 2022, algorithm 1 for order 2, "2S").
///
/// A step here is one prediction, as in diffusers: inside a block it leads to an intermediate x, which the block's end no longer needs.
public struct DPMSolverPlusPlusSinglestep: Sampler {
  /// 1, 2 or 3: the most predictions of a block.
  public let order: Int
  /// How the terms of second and third order are integrated.
  public let correction: DPMSolverPlusPlus.Correction
  /// Whether the chain ends with blocks of lower order. It does anyway where it must: before the data, and where blocks do not fill it.
  public let lowerOrderFinal: Bool
  /// What the last step aims at: the data, or level 1 (diffusers' `final_sigmas_type` "sigma_min").
  public let final: Timestep

  /// x at the block's first level, and x̂_0 of the block's levels, the newest first.
  private var start: Images?
  private var block: [(x0: Images, level: NoiseLevel<Double>)] = []

  /// - Parameter order: 1 to 3.
  public init(
    order: Int = 2, correction: DPMSolverPlusPlus.Correction = .midpoint, lowerOrderFinal: Bool = true,
    final: Timestep = .data
  ) {
    precondition((1...3).contains(order), "DPM-Solver++ of order \(order): 1 to 3 are here")
    self.order = order
    self.correction = correction
    self.lowerOrderFinal = lowerOrderFinal
    self.final = final
  }

  /// From each level to the next, the last to ``final``.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] { Transition.chain(timesteps, to: final) }

  /// The place of each step in its block, from 1: its order.
  func places(_ count: Int) -> [Int] {
    let lowers = lowerOrderFinal || count % order != 0 || final == .data
    var places = (0..<count).map { $0 % order + 1 }
    guard lowers else { return places }
    // A chain that blocks fill gives up its last prediction; order 3 divides the last three into 2 and 1.
    if order > 1 && count % order == 0 { places[count - 1] = 1 }
    if final == .data { places[count - 1] = 1 }
    return places
  }

  /// One prediction, remembered to the end of its block.
  public mutating func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let denoised = try context.explain(xt, at: t)
    if places(context.count)[context.index] == 1 { (start, block) = (xt, []) }
    block.insert((denoised.x0, context.level(t)), at: 0)

    if s == .data { return context.result(denoised.x0, denoised) }
    if s == t { return context.result(xt, denoised) }
    let x = coefficients(to: context.level(s), from: block.map(\.level))(start ?? xt, block.map(\.x0))
    return context.result(x, denoised)
  }

  /// The coefficients of the block's first x, and of x̂_0 at the block's levels, the newest first.
  public func coefficients(to s: NoiseLevel<Double>, from levels: [NoiseLevel<Double>]) -> StepCoefficients {
    let t = levels[levels.count - 1]
    // h = λ_s − λ_t, over the whole block so far
    let h = s.λ - t.λ
    let φ = exponentialWeights(h, count: 3)
    var predictions = [φ[0]]
    if levels.count > 1 {
      // D = (x̂_0' − x̂_0)/r, r = (λ' − λ_t)/h, of the newest prediction x̂_0'
      let r = (levels[0].λ - t.λ) / h
      if levels.count == 2 {
        // x_s = √(1−ᾱ_s)/√(1−ᾱ_t) x_t + √ᾱ_s (φ₁ x̂_0 + ½ φ₁ D), or φ₂ D for Heun's
        let weight = correction == .midpoint ? φ[0] / 2 : φ[1]
        predictions = [weight / r, φ[0] - weight / r]
      } else if correction == .midpoint {
        predictions = [φ[1] / r, 0, φ[0] - φ[1] / r]
      } else {
        // h x̂_0˙ = (r D' − r' D)/(r − r'), h² x̂_0¨ = 2 (D − D')/(r − r'), with D' and r' of the prediction between
        let q = (levels[1].λ - t.λ) / h
        let newest = (2 * φ[2] - φ[1] * q) / ((r - q) * r)
        let between = (φ[1] * r - 2 * φ[2]) / ((r - q) * q)
        predictions = [newest, between, φ[0] - newest - between]
      }
    }
    return StepCoefficients(
      x: s.sqrtOneMinusᾱ / t.sqrtOneMinusᾱ, predictions: predictions.map { s.sqrtᾱ * $0 })
  }
}
