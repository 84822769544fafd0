import Diffusion

/// The samplers by name.
public enum SamplerChoice: String, CaseIterable, Sendable {
  case ddpm, ddim
  case dpmSolver = "dpmsolver++"
  case dpmSolver2S = "dpmsolver++2s"
  case dpmSolver3M = "dpmsolver++3m"
  case sdeDPMSolver = "sde-dpmsolver++"
  case unipc, deis, pndm, plms, lms, heun, euler
  case eulerAncestral = "euler_ancestral"
  case edm

  /// One line on what it is.
  public var summary: String {
    switch self {
    case .ddpm: "the paper's ancestral sampling: noise in every step, all T steps"
    case .ddim: "DDIM: deterministic at η = 0, ancestral noise at η = 1"
    case .dpmSolver: "DPM-Solver++ (2M): second order, one prediction a step"
    case .dpmSolver2S: "DPM-Solver++ (2S): second order in blocks of two predictions, no history"
    case .dpmSolver3M: "DPM-Solver++ (3M): third order, one prediction a step; for models without guidance"
    case .sdeDPMSolver: "SDE-DPM-Solver++ (2M): second order, with noise in every step"
    case .unipc: "UniPC: as DPM-Solver++ (2M), each step corrected by the next prediction"
    case .deis: "DEIS: second order, the noise extrapolated in ln σ"
    case .pndm: "PNDM: fourth-order multistep after three Runge-Kutta steps (9 more predictions)"
    case .plms: "PLMS: PNDM without the Runge-Kutta steps (1 more prediction)"
    case .lms: "linear multistep: fourth order, the noise extrapolated in σ"
    case .heun: "Heun's method: second order, two predictions a step"
    case .euler: "Euler's method: DDIM at η = 0 with x̂_0 kept in its range"
    case .eulerAncestral: "Euler's method with ancestral noise: DDIM at η = 1"
    case .edm: "Heun's method with noise added before each step (Karras et al. 2022), σ spaced as theirs"
    }
  }

  /// Every sampler's name and what it is, one a line.
  public static var listing: String {
    let width = allCases.map(\.rawValue.count).max() ?? 0
    return allCases.map { choice in
      choice.rawValue + String(repeating: " ", count: width + 2 - choice.rawValue.count) + choice.summary
    }.joined(separator: "\n")
  }

  /// What the command draws with unless it is told otherwise, chosen by measurement: docs/samplers.md.
  public static let usual = unipc

  /// What is used unless the user says otherwise.
  public func defaultSteps(T: Int) -> Int {
    switch self {
    case .ddpm: T
    case .ddim, .euler, .eulerAncestral, .pndm, .plms, .lms: min(50, T)
    case .heun, .edm: min(25, T)
    // T intervals would need T + 1 levels.
    case .dpmSolver, .dpmSolver2S, .dpmSolver3M, .sdeDPMSolver, .unipc, .deis: max(1, min(20, T - 1))
    }
  }

  /// diffusers' class.
  private var kind: SchedulerConfig.Kind {
    switch self {
    case .ddpm: .ddpm
    case .ddim: .ddim
    case .dpmSolver, .dpmSolver3M, .sdeDPMSolver: .dpmSolver
    case .dpmSolver2S: .singlestep
    case .unipc: .unipc
    case .deis: .deis
    case .pndm, .plms: .pndm
    case .lms: .lms
    case .heun, .edm: .heun
    case .euler: .euler
    case .eulerAncestral: .eulerAncestral
    }
  }

  /// Whether σ can be spaced in place of t.
  public var spacesSigmas: Bool { kind.spacesSigmas }

  /// diffusers' scheduler for this sampler, with the schedule and the prediction of the model's own. Change `spacing`, `sigmas` and the rest
  /// as you like. Every sampler but `dpmsolver++` keeps x̂_0 in the range that the model's scheduler gives it.
  ///
  /// - Parameter matchesDiffusers: ``SchedulerConfig/matchesDiffusers``; then it is what diffusers' `from_config` makes of the model's.
  public func scheduler(for model: SchedulerConfig, matchesDiffusers: Bool = false) -> SchedulerConfig {
    var model = model
    model.matchesDiffusers = matchesDiffusers
    var scheduler = model.converted(to: kind)
    switch self {
    case .dpmSolver, .dpmSolver2S, .sdeDPMSolver:
      scheduler.order = min(scheduler.order, 2)
      scheduler.isStochastic = self == .sdeDPMSolver
    case .dpmSolver3M: (scheduler.order, scheduler.isStochastic) = (3, false)
    case .pndm, .plms: scheduler.skipsRungeKutta = self == .plms
    case .edm: scheduler.sigmas = .karras
    default: break
    }
    if matchesDiffusers { return scheduler }

    // Another class's offset would move T steps, the default here, beyond T.
    if self == .ddpm && (model.kind != .ddpm || model.unknownClass != nil) { scheduler.stepsOffset = 0 }
    if kind == .pndm { scheduler.finalAlphaIsOne = true }
    // An ODE is solved from T, which leading spacing, the default, leaves out.
    if kind.isSigmaForm && scheduler.spacing == .leading { scheduler.spacing = .linspace }
    // The range of the data is the model's, whatever the sampler: without it a few steps end in noise where the network is least sure.
    if ![.ddpm, .ddim, .dpmSolver].contains(self) {
      let limits = model.converted(to: .ddpm)
      (scheduler.clipsSample, scheduler.clipRange) = (limits.clipsSample, limits.clipRange)
    }
    return scheduler
  }

  /// The sampler itself.
  ///
  /// - Parameters:
  ///   - scheduler: of `scheduler(for:)`.
  ///   - eta: of DDIM.
  /// - Throws: `ScheduleError` where β leaves (0, 1).
  public func sampler(_ scheduler: SchedulerConfig, steps: Int, eta: Double = 0) throws -> any Sampler {
    self == .edm ? EDM() : try scheduler.sampler(steps: steps, eta: eta)
  }
}
