import Diffusion
import Files

/// A diffusers `scheduler_config.json`.
///
/// Every key of the classes below is read and written, with diffusers' defaults where a key is absent. A key that would change results
/// and that is not supported here is an error, never ignored.
public struct SchedulerConfig: Sendable, Equatable {
  /// diffusers' scheduler classes.
  public enum Kind: String, Sendable, CaseIterable {
    case ddpm = "DDPMScheduler"
    case ddim = "DDIMScheduler"
    case dpmSolver = "DPMSolverMultistepScheduler"
    case singlestep = "DPMSolverSinglestepScheduler"
    case unipc = "UniPCMultistepScheduler"
    case pndm = "PNDMScheduler"
    case deis = "DEISMultistepScheduler"
    case lms = "LMSDiscreteScheduler"
    case euler = "EulerDiscreteScheduler"
    case eulerAncestral = "EulerAncestralDiscreteScheduler"
    case heun = "HeunDiscreteScheduler"

    /// Whether it counts in x̄ = x/√ᾱ, and its levels in σ̄.
    var isSigmaForm: Bool { [.lms, .euler, .eulerAncestral, .heun].contains(self) }

    /// Whether σ̄ can be spaced in place of t.
    var spacesSigmas: Bool { ![.ddpm, .ddim, .pndm, .eulerAncestral].contains(self) }
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
  /// `variance_type` (DDPM; in DPM-Solver null or learned).
  public var variance = ReverseVariance.fixedSmall
  /// `clip_sample` (DDPM, DDIM, Heun): whether x̂_0 is clipped.
  public var clipsSample = true
  /// `clip_sample_range`: to ± this.
  public var clipRange = 1.0
  /// `thresholding`: whether x̂_0 is limited by a quantile of each image instead.
  public var thresholds = false
  /// `dynamic_thresholding_ratio`: that quantile.
  public var thresholdRatio = 0.995
  /// `sample_max_value`: the most that the limit may be.
  public var thresholdMaximum = 1.0
  /// `timestep_spacing`; `leading` by default in DDPM, DDIM and PNDM, `linspace` in the others.
  public var spacing = TimestepSpacing.linspace
  /// `steps_offset`: added to the levels of leading spacing.
  public var stepsOffset = 0
  /// `set_alpha_to_one` (DDIM, PNDM): whether the last step leads to the data, not to level 1.
  public var finalAlphaIsOne = true
  /// `skip_prk_steps` (PNDM).
  public var skipsRungeKutta = false
  /// `solver_order` (DPM-Solver, UniPC, DEIS).
  public var order = 2
  /// `solver_type` of DPM-Solver.
  public var correction = DPMSolverPlusPlus.Correction.midpoint
  /// `solver_type` of UniPC.
  public var variant = UniPC.Variant.bh2
  /// `algorithm_type` (DPM-Solver, multistep): whether it is `sde-dpmsolver++`.
  public var isStochastic = false
  /// `lower_order_final`: whether the last of fewer than 15 steps are of lower order.
  public var lowerOrderFinal = true
  /// `euler_at_final`: whether the last step always is.
  public var eulerAtFinal = false
  /// `final_sigmas_type`: `zero` leads to the data, `sigma_min` to level 1.
  public var finalSigmaIsZero = true
  /// `lambda_min_clipped`: levels with a smaller λ are not visited.
  public var minimumLambda = -Double.infinity
  /// `disable_corrector` (UniPC): the steps, from 0, whose result is not corrected.
  public var uncorrected: [Int] = []
  /// `use_karras_sigmas`, `use_exponential_sigmas`, `use_beta_sigmas`: how σ̄ is spaced in place of t; nil for `spacing`.
  public var sigmas: SigmaSpacing?
  /// `sigma_min` and `sigma_max` (Euler, UniPC): the ends of that spacing; nil for the schedule's.
  public var sigmaMin: Double?
  /// `sigma_max` (Euler, UniPC): the noisy end; nil for the schedule's.
  public var sigmaMax: Double?
  /// The class of a file that was read without knowing it.
  public internal(set) var unknownClass: String?
  /// Keys that change nothing, kept for writing: `_diffusers_version` and what other classes or older versions left.
  public var others: [String: JSONValue] = [:]

  /// Whether diffusers' own rule is followed also where it is off; not a key. It is off in these:
  /// - DDIM and PNDM step from t to t − T/n, whatever level is visited next.
  /// - DDPM adds noise in the last step too unless that leaves t = 1.
  /// - Euler, Heun and LMS under linspace spacing visit levels between two timesteps, with σ̄ (not its logarithm) on a line; and under
  ///   linspace and trailing spacing x_T is taken times √(1−ᾱ_T).
  /// - DEIS ends at level 1, not at the data.
  /// - Where DPM-Solver, UniPC and DEIS space σ̄, the network is told the timestep rounded down, not to the nearest (except `karras`, which
  ///   rounds; and except `karras` on `squaredcos_cap_v2` in DPM-Solver, which does not).
  /// - DPM-Solver's third order halves a term, and is of second order.
  /// - A single step under leading or linspace spacing starts at the data's end.
  public var matchesDiffusers = false

  /// diffusers' defaults for a class.
  public init(_ kind: Kind = .ddpm) {
    self.kind = kind
    if [.ddpm, .ddim, .pndm].contains(kind) { spacing = .leading }
    clipsSample = kind == .ddpm || kind == .ddim
    finalAlphaIsOne = kind != .pndm
    lowerOrderFinal = kind != .singlestep
    if kind == .heun { (betaStart, betaEnd) = (0.00085, 0.012) }
  }

  /// The configuration with which another class samples the same model: β, T, what the network predicts and its variance, thresholding,
  /// the offset, and clipping where both classes know it are kept; the rest is that class's default. A spacing is kept only where it is not
  /// merely this class's default.
  ///
  /// diffusers' `from_config` keeps every key that the file says and the other class knows, so a spacing also where it is a default.
  public func converted(to kind: Kind) -> SchedulerConfig {
    if kind == self.kind && unknownClass == nil { return self }
    var result = SchedulerConfig(kind)
    (result.T, result.betaStart, result.betaEnd) = (T, betaStart, betaEnd)
    (result.betaSchedule, result.betas, result.zeroTerminalSNR) = (betaSchedule, betas, zeroTerminalSNR)
    (result.prediction, result.variance) = (prediction, variance)
    (result.thresholds, result.thresholdRatio, result.thresholdMaximum) = (thresholds, thresholdRatio, thresholdMaximum)
    result.stepsOffset = stepsOffset
    result.matchesDiffusers = matchesDiffusers
    if spacing != SchedulerConfig(self.kind).spacing || matchesDiffusers { result.spacing = spacing }
    if Self.clipping.contains(kind) && Self.clipping.contains(self.kind) {
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
}

/// Why a scheduler configuration cannot be used.
public enum SchedulerConfigError: Error, Equatable, CustomStringConvertible {
  case notAnObject
  case unknownClass(String)
  case otherProcess(String, reason: String)
  case type(key: String, found: String, wanted: String)
  case value(key: String, found: String, allowed: [String])
  case unsupported(key: String, found: String, advice: String)
  case unknownKey(String, found: String)

  public var description: String { text.onOneLine }

  private var text: String {
    switch self {
    case .notAnObject: "the scheduler configuration is not a JSON object"
    case .unknownClass(let name):
      "scheduler class \(name) is not known: name a sampler, or use "
        + SchedulerConfig.Kind.allCases.map(\.rawValue).joined(separator: ", ")
    case .otherProcess(let name, let reason):
      "scheduler class \(name) is not a DDPM chain's: \(reason); use a model with a noise schedule β"
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
