import Diffusion
import Files

/// A diffusers `scheduler_config.json`: DDPMScheduler, DDIMScheduler or DPMSolverMultistepScheduler.
///
/// Every key of the three classes is read and written, with diffusers' defaults where a key is absent. A key that would change results
/// and that is not supported here is an error, never ignored.
public struct SchedulerConfig: Sendable, Equatable {
  /// diffusers' scheduler classes.
  public enum Kind: String, Sendable, CaseIterable {
    case ddpm = "DDPMScheduler"
    case ddim = "DDIMScheduler"
    case dpmSolver = "DPMSolverMultistepScheduler"
  }

  /// `_class_name`: which of diffusers' schedulers it is.
  public var kind: Kind
  /// `num_train_timesteps`.
  public var T = 1000
  /// `beta_start`.
  public var betaStart = 1e-4
  /// `beta_end`.
  public var betaEnd = 0.02
  /// `beta_schedule`: the name of the rule for β_t.
  public var betaSchedule = BetaSchedule.Name.linear
  /// `trained_betas`: β_1…β_T themselves, in place of a rule; nil for a rule.
  public var betas: [Double]?
  /// `rescale_betas_zero_snr`.
  public var zeroTerminalSNR = false
  /// `prediction_type`.
  public var prediction = Prediction.epsilon
  /// `variance_type` (in DPM-Solver null or learned).
  public var variance = ReverseVariance.fixedSmall
  /// `clip_sample` (not in DPM-Solver): whether x̂_0 is clipped.
  public var clipsSample = true
  /// `clip_sample_range`: to ± this.
  public var clipRange = 1.0
  /// `thresholding`: whether x̂_0 is limited by a quantile of each image instead.
  public var thresholds = false
  /// `dynamic_thresholding_ratio`: that quantile.
  public var thresholdRatio = 0.995
  /// `sample_max_value`: the most that the limit may be.
  public var thresholdMaximum = 1.0
  /// `timestep_spacing`; `linspace` by default in DPM-Solver.
  public var spacing = TimestepSpacing.leading
  /// `steps_offset`: added to the levels of leading spacing.
  public var stepsOffset = 0
  /// `set_alpha_to_one` (DDIM): whether the last step leads to the data, not to level 1.
  public var finalAlphaIsOne = true
  /// `solver_order` (DPM-Solver, as all that follow).
  public var order = 2
  /// `solver_type`.
  public var correction = DPMSolverPlusPlus2M.Correction.midpoint
  /// `lower_order_final`: whether the last of fewer than 15 steps is of first order.
  public var lowerOrderFinal = true
  /// `euler_at_final`: whether the last step always is.
  public var eulerAtFinal = false
  /// `final_sigmas_type`: `zero` leads to the data, `sigma_min` to level 1.
  public var finalSigmaIsZero = true
  /// `lambda_min_clipped`: levels with a smaller λ are not visited.
  public var minimumλ = -Double.infinity
  /// Keys that change nothing, kept for writing: `_diffusers_version` and what other classes or older versions left.
  public var others: [String: JSONValue] = [:]

  /// diffusers' defaults for a class.
  public init(_ kind: Kind = .ddpm) {
    self.kind = kind
    if kind == .dpmSolver {
      spacing = .linspace
      clipsSample = false
    }
  }

  /// The configuration with which one of diffusers' classes samples the same model, as its `from_config`: what they share is kept, the
  /// rest is that class's default. A spacing that is this class's default gives way to the other's. DPM-Solver does not clip.
  public func converted(to kind: Kind) -> SchedulerConfig {
    if kind == self.kind { return self }
    var result = SchedulerConfig(kind)
    (result.T, result.betaStart, result.betaEnd) = (T, betaStart, betaEnd)
    (result.betaSchedule, result.betas, result.zeroTerminalSNR) = (betaSchedule, betas, zeroTerminalSNR)
    (result.prediction, result.variance) = (prediction, variance)
    (result.thresholds, result.thresholdRatio, result.thresholdMaximum) = (thresholds, thresholdRatio, thresholdMaximum)
    result.stepsOffset = stepsOffset
    if spacing != SchedulerConfig(self.kind).spacing { result.spacing = spacing }
    if kind != .dpmSolver && self.kind != .dpmSolver {
      (result.clipsSample, result.clipRange) = (clipsSample, clipRange)
    }
    return result
  }

  /// The noise schedule.
  ///
  /// - Throws: `ScheduleError` where β leaves (0, 1).
  public func schedule() throws -> NoiseSchedule {
    try NoiseSchedule(rule, T: T, zeroTerminalSNR: zeroTerminalSNR)
  }

  /// The rule that gives β, before any rescaling to zero terminal SNR.
  var rule: BetaSchedule {
    betas.map { .explicit($0) } ?? BetaSchedule(betaSchedule, from: betaStart, to: betaEnd)
  }

  /// The reverse process, with the limits on x̂_0.
  public func process() throws -> ReverseProcess {
    try ReverseProcess(schedule: schedule(), prediction: prediction, variance: variance, limit: limit)
  }

  /// What keeps x̂_0 in its range.
  public var limit: X0Limit {
    if thresholds { return .dynamic(ratio: thresholdRatio, maximum: thresholdMaximum) }
    return clipsSample ? .clip(clipRange) : .none
  }

  /// The sampler that diffusers' class is. DDIM's η is an argument there, not a key.
  public func sampler(η: Double = 0) -> any Sampler {
    switch kind {
    case .ddpm: Ancestral()
    case .ddim: DDIM(η: η, final: finalAlphaIsOne ? .data : 1)
    case .dpmSolver:
      DPMSolverPlusPlus2M(
        order: order, correction: correction, lowerOrderFinal: lowerOrderFinal, eulerAtFinal: eulerAtFinal,
        final: finalSigmaIsZero ? .data : 1)
    }
  }

  /// The levels that diffusers' class visits in n steps.
  public func timesteps(_ n: Int) throws -> [Timestep] {
    guard kind == .dpmSolver else { return try spacing.timesteps(n, of: T, offset: stepsOffset) }
    // Levels with λ below the bound are skipped.
    let schedule = try schedule()
    let skipped = schedule.timesteps.count { schedule.finiteLevel($0).λ < minimumλ }
    guard skipped < T else {
      throw SchedulerConfigError.type(
        key: "lambda_min_clipped", found: "\(minimumλ)",
        wanted: "a number that leaves some of the \(T) levels, whose largest λ is \(schedule.finiteLevel(1).λ)")
    }
    return try spacing.timesteps(
      n, of: T, counting: .intervals, offset: stepsOffset, last: Timestep(T - skipped))
  }

  /// The rules that each of diffusers' three classes knows.
  static let rulesOfDiffusers: Set<BetaSchedule.Name> = [.linear, .scaledLinear, .cosine]
}

/// Why a scheduler configuration cannot be used.
public enum SchedulerConfigError: Error, Equatable, CustomStringConvertible {
  case notAnObject
  case unknownClass(String)
  case type(key: String, found: String, wanted: String)
  case value(key: String, found: String, allowed: [String])
  case unsupported(key: String, found: String, advice: String)
  case unknownKey(String, found: String)

  public var description: String { text.onOneLine }

  private var text: String {
    switch self {
    case .notAnObject: "the scheduler configuration is not a JSON object"
    case .unknownClass(let name):
      "scheduler class \(name) is not known: use \(SchedulerConfig.Kind.allCases.map(\.rawValue).joined(separator: ", "))"
    case .type(let key, let found, let wanted): "scheduler key \(key) is \(found), not \(wanted)"
    case .value(let key, let found, let allowed):
      "scheduler key \(key) is \(found): use \(allowed.joined(separator: ", "))"
    case .unsupported(let key, let found, let advice):
      "scheduler key \(key) = \(found) would change the results and is not supported: \(advice)"
    case .unknownKey(let key, let found):
      "scheduler key \(key) = \(found) is unknown and may change the results: remove it if it does not"
    }
  }
}
