import Diffusion

/// The samplers by name.
public enum SamplingMethod: String, CaseIterable, Sendable {
  /// The paper's ancestral sampling.
  case ddpm
  case ddim
  case dpmSolver = "dpmsolver++"
  case heun, euler

  /// What is used unless the user says otherwise.
  func defaultSteps(T: Int) -> Int {
    switch self {
    case .ddpm: T
    case .ddim, .euler: min(50, T)
    case .dpmSolver: min(20, T)
    case .heun: min(25, T)
    }
  }

  /// diffusers' scheduler for this method, with the schedule and the prediction of the model's own.
  func scheduler(for model: SchedulerConfig) -> SchedulerConfig {
    let kind: SchedulerConfig.Kind
    switch self {
    case .ddpm: kind = .ddpm
    case .ddim: kind = .ddim
    case .dpmSolver: kind = .dpmSolver
    case .heun, .euler: kind = .ddpm
    }
    if kind == model.kind, self != .heun, self != .euler { return model }
    var scheduler = SchedulerConfig(kind)
    scheduler.T = model.T
    scheduler.betaStart = model.betaStart
    scheduler.betaEnd = model.betaEnd
    scheduler.betaSchedule = model.betaSchedule
    scheduler.betas = model.betas
    scheduler.zeroTerminalSNR = model.zeroTerminalSNR
    scheduler.prediction = model.prediction
    scheduler.variance = model.variance
    if kind != .dpmSolver, model.kind != .dpmSolver {
      scheduler.clipsSample = model.clipsSample
      scheduler.clipRange = model.clipRange
      scheduler.thresholds = model.thresholds
      scheduler.thresholdRatio = model.thresholdRatio
      scheduler.thresholdMaximum = model.thresholdMaximum
    }
    // An ODE is solved from T, which leading spacing leaves out.
    if self == .heun || self == .euler { scheduler.spacing = .linspace }
    return scheduler
  }

  func sampler(_ scheduler: SchedulerConfig, η: Double) -> any Sampler {
    switch self {
    case .ddpm: Ancestral()
    case .ddim, .dpmSolver: scheduler.sampler(η: η)
    case .heun: Heun()
    case .euler: Euler()
    }
  }
}
