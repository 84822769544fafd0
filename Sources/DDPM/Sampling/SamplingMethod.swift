import Diffusers
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
    switch self {
    case .ddpm:
      var scheduler = model.converted(to: .ddpm)
      // Another class's offset would move T steps, the default here, beyond T.
      if model.kind != .ddpm { scheduler.stepsOffset = 0 }
      return scheduler
    case .ddim: return model.converted(to: .ddim)
    case .dpmSolver: return model.converted(to: .dpmSolver)
    case .heun, .euler:
      var scheduler = model.converted(to: .ddpm)
      // An ODE is solved from T, which leading spacing, the default, leaves out.
      if scheduler.spacing == .leading { scheduler.spacing = .linspace }
      return scheduler
    }
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
