/// The forward process's tables, all in Double, for t = 0…T. At t = 0, the data: β = 0, α = ᾱ = 1.
///
/// Read this first: every equation of the module takes its coefficients from here.
public struct NoiseSchedule: Sendable, Equatable {
  /// The number of noise levels.
  public let T: Int
  /// β_t: the variance that step t adds.
  public let β: TimestepTable
  /// α_t = 1 − β_t.
  public let α: TimestepTable
  /// ᾱ_t = ∏_{s ≤ t} α_s: what is left of the data's variance.
  public let ᾱ: TimestepTable
  /// √ᾱ_t.
  public let sqrtᾱ: TimestepTable
  /// √(1 − ᾱ_t).
  public let sqrtOneMinusᾱ: TimestepTable
  /// ᾱ_t / (1 − ᾱ_t); +∞ for the data.
  public let snr: TimestepTable

  /// The tables of given β_1…β_T.
  ///
  /// - Throws: `ScheduleError` unless every β lies in (0, 1), the last in (0, 1].
  public init(betas: [Double]) throws(ScheduleError) {
    guard !betas.isEmpty else { throw .empty }
    for (i, β) in betas.enumerated() where !(β > 0 && (β < 1 || β == 1 && i == betas.count - 1)) {
      throw .betaOutOfRange(β, t: i + 1, T: betas.count)
    }
    // α_t = 1 − β_t
    let α = [1] + betas.map { 1 - $0 }
    // ᾱ_t = ᾱ_{t−1} α_t
    var ᾱ = [1.0]
    for t in 1...betas.count { ᾱ.append(ᾱ[t - 1] * α[t]) }
    self.T = betas.count
    self.β = TimestepTable(values: [0] + betas)
    self.α = TimestepTable(values: α)
    self.ᾱ = TimestepTable(values: ᾱ)
    sqrtᾱ = TimestepTable(values: ᾱ.map { $0.squareRoot() })
    sqrtOneMinusᾱ = TimestepTable(values: ᾱ.map { (1 - $0).squareRoot() })
    // SNR_t = ᾱ_t / (1 − ᾱ_t)
    snr = TimestepTable(values: ᾱ.map { $0 / (1 - $0) })
  }

  /// The tables of given ᾱ_1…ᾱ_T: β_t = 1 − ᾱ_t / ᾱ_{t−1}.
  ///
  /// - Throws: `ScheduleError` unless every ᾱ is less than the one before and positive; the last may be 0.
  init(alphasBar ᾱ: [Double]) throws(ScheduleError) {
    var before = 1.0
    var betas: [Double] = []
    for ᾱ in ᾱ {
      betas.append(1 - ᾱ / before)
      before = ᾱ
    }
    try self.init(betas: betas)
  }

  /// The tables of a rule.
  ///
  /// - Parameters:
  ///   - rescaled: multiplies β by 1000/T where the rule is not already a function of t/T. Without it 100 linear steps leave ᾱ_T = 0.36.
  ///   - zeroTerminalSNR: shifts and scales √ᾱ so that ᾱ_T = 0 exactly (Lin et al. 2023, algorithm 1). ε cannot be predicted there.
  /// - Throws: `ScheduleError` where T < 1 or a β leaves (0, 1).
  public init(
    _ rule: BetaSchedule = .linear(), T: Int = 1000, rescaled: Bool = false, zeroTerminalSNR: Bool = false
  ) throws(ScheduleError) {
    guard T >= 1 else { throw .empty }
    if case .explicit(let betas) = rule, betas.count != T { throw .wrongCount(betas.count, T: T) }
    let schedule = try NoiseSchedule(betas: (rescaled ? rule.rescaled(T: T) : rule).betas(T: T))
    self = zeroTerminalSNR ? try schedule.withZeroTerminalSNR() : schedule
  }

  /// The tables by names that any keyboard types.
  public var beta: TimestepTable { β }
  /// α_t = 1 − β_t.
  public var alpha: TimestepTable { α }
  /// ᾱ_t = ∏_{s ≤ t} α_s.
  public var alphaBar: TimestepTable { ᾱ }
  /// √ᾱ_t.
  public var sqrtAlphaBar: TimestepTable { sqrtᾱ }
  /// √(1 − ᾱ_t).
  public var sqrtOneMinusAlphaBar: TimestepTable { sqrtOneMinusᾱ }

  /// All noise levels, 1…T.
  public var timesteps: [Timestep] { (1...T).map { Timestep($0) } }

  /// The step T, pure noise.
  public var last: Timestep { Timestep(T) }

  /// √ᾱ' = (√ᾱ − √ᾱ_T) · √ᾱ_1 / (√ᾱ_1 − √ᾱ_T): the first level stays, the last becomes pure noise.
  private func withZeroTerminalSNR() throws(ScheduleError) -> NoiseSchedule {
    guard T > 1 else { throw .empty }
    let first = sqrtᾱ[1]
    let end = sqrtᾱ[last]
    let roots = sqrtᾱ.values.dropFirst().map { ($0 - end) * first / (first - end) }
    return try NoiseSchedule(alphasBar: roots.map { $0 * $0 })
  }
}

/// Why a schedule cannot be built.
public enum ScheduleError: Error, Equatable, CustomStringConvertible {
  case empty
  case betaOutOfRange(Double, t: Int, T: Int)
  case wrongCount(Int, T: Int)

  public var description: String {
    switch self {
    case .empty: "a noise schedule needs at least one step, and zero terminal SNR at least two"
    case .betaOutOfRange(let β, let t, let T):
      "β_\(t) = \(β) of \(T) lies outside (0, 1): give smaller β, or more steps if they were rescaled by 1000/T"
    case .wrongCount(let count, let T): "\(count) explicit betas for T = \(T): give exactly T of them"
    }
  }
}
