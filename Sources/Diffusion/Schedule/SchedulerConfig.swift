#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A diffusers `scheduler_config.json`: DDPMScheduler, DDIMScheduler or DPMSolverMultistepScheduler.
///
/// Every key of the three classes is read and written, with diffusers' defaults where a key is absent. A key that would change results
/// and that is not supported here is an error, never ignored.
public struct SchedulerConfig: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    case ddpm = "DDPMScheduler"
    case ddim = "DDIMScheduler"
    case dpmSolver = "DPMSolverMultistepScheduler"
  }

  public var kind: Kind  // _class_name
  public var T = 1000  // num_train_timesteps
  public var betaStart = 1e-4  // beta_start
  public var betaEnd = 0.02  // beta_end
  public var betaSchedule = "linear"  // beta_schedule
  public var betas: [Double]?  // trained_betas
  public var zeroTerminalSNR = false  // rescale_betas_zero_snr
  public var prediction = Prediction.epsilon  // prediction_type
  public var variance = ReverseVariance.fixedSmall  // variance_type (DPM-Solver: null or learned)
  public var clipsSample = true  // clip_sample (not in DPM-Solver)
  public var clipRange = 1.0  // clip_sample_range
  public var thresholds = false  // thresholding
  public var thresholdRatio = 0.995  // dynamic_thresholding_ratio
  public var thresholdMaximum = 1.0  // sample_max_value
  public var spacing = TimestepSpacing.leading  // timestep_spacing (DPM-Solver: linspace)
  public var stepsOffset = 0  // steps_offset
  public var finalAlphaIsOne = true  // set_alpha_to_one (DDIM)
  public var order = 2  // solver_order (from here on DPM-Solver)
  public var correction = DPMSolverPlusPlus2M.Correction.midpoint  // solver_type
  public var lowerOrderFinal = true  // lower_order_final
  public var eulerAtFinal = false  // euler_at_final
  public var finalSigmaIsZero = true  // final_sigmas_type: zero or sigma_min
  public var minimumλ = -Double.infinity  // lambda_min_clipped
  /// Keys that change nothing, kept for writing: `_diffusers_version` and what other classes or older versions left.
  public var others: [String: JSON] = [:]

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
    try NoiseSchedule(rule(), T: T, zeroTerminalSNR: zeroTerminalSNR)
  }

  /// The rule that gives β, before any rescaling to zero terminal SNR.
  func rule() throws(SchedulerConfigError) -> BetaSchedule {
    if let betas { return .explicit(betas) }
    return try Self.rule(named: betaSchedule, from: betaStart, to: betaEnd)
  }

  /// The reverse process, with the limits on x̂_0.
  public func process() throws -> ReverseProcess {
    try ReverseProcess(schedule: schedule(), prediction: prediction, variance: variance, limit: limit)
  }

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

  /// The rule of a name: diffusers' and the paper's.
  public static func rule(
    named name: String, from first: Double = 1e-4, to last: Double = 0.02
  ) throws(SchedulerConfigError) -> BetaSchedule {
    switch name {
    case "linear": return .linear(from: first, to: last)
    case "scaled_linear", "quad": return .scaledLinear(from: first, to: last)
    case "squaredcos_cap_v2", "cosine": return .cosine()
    case "sigmoid": return .sigmoid(from: first, to: last)
    case "laplace": return .laplace()
    case "const": return .constant(last)
    case "jsd": return .jsd
    case "warmup10": return .warmup(fraction: 0.1, from: first, to: last)
    case "warmup50": return .warmup(fraction: 0.5, from: first, to: last)
    default: throw .value(key: "beta_schedule", found: name, allowed: Self.rules)
    }
  }

  /// The name that diffusers knows a rule by; the same name where it does not know the rule.
  static func diffusersName(_ name: String) -> String {
    switch name {
    case "quad": "scaled_linear"
    case "cosine": "squaredcos_cap_v2"
    default: name
    }
  }

  /// The rules that each of diffusers' three classes knows.
  static let rulesOfDiffusers: Set = ["linear", "scaled_linear", "squaredcos_cap_v2"]

  static let rules = [
    "linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "const", "jsd", "warmup10", "warmup50",
  ]
}

/// Why a scheduler configuration cannot be used.
public enum SchedulerConfigError: Error, Equatable, CustomStringConvertible {
  case notAnObject
  case unknownClass(String)
  case type(key: String, found: String, wanted: String)
  case value(key: String, found: String, allowed: [String])
  case unsupported(key: String, found: String, advice: String)
  case unknownKey(String, found: String)

  public var description: String {
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
