/// UniPC (Zhao et al. 2023, with data prediction): a multistep predictor like DPM-Solver++, and a corrector that takes each x once more,
/// with the x̂_0 found there, at no further prediction. Order p predicts with p values of x̂_0 and is of order p + 1 with the corrector.
public struct UniPC: Sampler {
  /// B(h), the factor of what bends the line. It matters only where few values leave a choice: predicting with two, correcting
  /// with one.
  public enum Variant: String, Sendable, CaseIterable {
    /// B(h) = h.
    case bh1
    /// B(h) = 1 − e^{−h}.
    case bh2
  }

  /// 1, 2 or 3.
  public let order: Int
  /// B(h); `bh2` unless told, as in diffusers.
  public let variant: Variant
  /// Whether the last steps fall in order, to 1 in the last.
  public let lowerOrderFinal: Bool
  /// The steps, from 0, whose result is not corrected.
  public let uncorrected: Set<Int>
  /// What the last step aims at: the data, or level 1 (diffusers' `final_sigmas_type` "sigma_min").
  public let final: Timestep

  /// x̂_0 of the steps, the newest first.
  private var history: [(x0: Images, level: NoiseLevel<Double>)] = []
  /// x of the step before, corrected, and the order of that step.
  private var before: (x: Images, order: Int)?

  /// - Parameters:
  ///   - order: 1 to 3.
  ///   - uncorrected: steps, from 0, whose result is not corrected.
  public init(
    order: Int = 2, variant: Variant = .bh2, lowerOrderFinal: Bool = true, uncorrected: Set<Int> = [],
    final: Timestep = .data
  ) {
    precondition((1...3).contains(order), "UniPC of order \(order): 1 to 3 are here")
    self.order = order
    self.variant = variant
    self.lowerOrderFinal = lowerOrderFinal
    self.uncorrected = uncorrected
    self.final = final
  }

  /// From each level to the next, the last to ``final``.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] { Transition.chain(timesteps, to: final) }

  /// One prediction, which corrects this x and predicts the next; no noise.
  public mutating func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    let denoised = try context.explain(xt, at: t)
    let level = context.level(t)

    var x = xt
    if let before, !uncorrected.contains(context.index - 1) {
      let used = history.prefix(before.order)
      x = coefficients(to: level, from: used.map(\.level), correcting: true)(
        before.x, [denoised.x0] + used.map(\.x0))
    }
    history.insert((denoised.x0, level), at: 0)
    history = Array(history.prefix(order))
    let used = history.prefix(lowerOrderFinal ? context.count - context.index : order)
    before = (x, used.count)

    if s == .data { return context.result(denoised.x0, denoised) }
    if s == t { return context.result(x, denoised) }
    return context.result(
      coefficients(to: context.level(s), from: used.map(\.level), correcting: false)(x, used.map(\.x0)), denoised)
  }

  /// The coefficients of x_t, and of x̂_0 at the given levels, the newest first; for the corrector that of x̂_0 at s comes before them.
  public func coefficients(
    to s: NoiseLevel<Double>, from levels: [NoiseLevel<Double>], correcting: Bool
  ) -> StepCoefficients {
    let t = levels[0]
    let h = s.λ - t.λ
    // r_k = (λ_k − λ_t)/h of the values that bend the line: those before, and s itself where x̂_0 is known there.
    let r = (correcting ? [1] : []) + levels.dropFirst().map { ($0.λ - t.λ) / h }
    let φ = exponentialWeights(h, count: r.count + 1)
    let B = variant == .bh1 ? h : φ[0]
    // Σ_k a_k r_k^{i−1} = i! φ_{i+1}(h)
    var factorial = 1.0
    let moments = r.indices.map { i in
      factorial *= Double(i + 1)
      return factorial * φ[i + 1]
    }
    // One value alone need not meet its condition exactly: a = B(h)/2 is as good, and the authors' choice.
    let a = r.isEmpty ? [] : r.count == 1 ? [B / 2] : quadratureWeights(nodes: r, moments: moments)
    // x_s = √(1−ᾱ_s)/√(1−ᾱ_t) x_t + √ᾱ_s (φ₁ x̂_0 + Σ_k a_k (x̂_0⁽ᵏ⁾ − x̂_0)/r_k)
    let bent = zip(a, r).map { $0 / $1 }
    let own = φ[0] - bent.reduce(0, +)
    let predictions = correcting ? [bent[0], own] + bent.dropFirst() : [own] + bent
    return StepCoefficients(
      x: s.sqrtOneMinusᾱ / t.sqrtOneMinusᾱ, predictions: predictions.map { s.sqrtᾱ * $0 })
  }
}
