import Diffusion
import Files

extension SchedulerConfig {
  /// A key of `scheduler_config.json`: which of diffusers' classes have it, and what it means here.
  struct Key: Sendable {
    let name: String
    let kinds: Set<Kind>
    let read: @Sendable (inout SchedulerConfig, inout SchedulerReader) throws(SchedulerConfigError) -> Void
    let write: @Sendable (SchedulerConfig) -> JSONValue
  }

  private static let all = Set(Kind.allCases)
  private static let solvers: Set<Kind> = [.dpmSolver, .singlestep, .unipc, .deis]
  private static let sigmaSpaced = all.filter(\.spacesSigmas)
  private static let thresholding = solvers.union([.ddpm, .ddim])
  static let clipping: Set<Kind> = [.ddpm, .ddim, .heun]
  private static let sigmaEnding: Set<Kind> = [.dpmSolver, .singlestep, .unipc, .euler]

  /// Every key of the classes.
  static let keys: [Key] = [
    Key(name: "num_train_timesteps", kinds: all) { config, reader throws(SchedulerConfigError) in
      config.T = try reader.integer("num_train_timesteps", in: 1...1_000_000) ?? config.T
    } write: {
      .integer($0.T)
    },
    number("beta_start", \.betaStart, all),
    number("beta_end", \.betaEnd, all),
    Key(name: "beta_schedule", kinds: all) { config, reader throws(SchedulerConfigError) in
      guard let name = try reader.string("beta_schedule") else { return }
      guard let found = BetaSchedule.Name(alias: name) else {
        throw .value(key: "beta_schedule", found: name, allowed: BetaSchedule.Name.allCases.map(\.rawValue))
      }
      config.betaSchedule = found
    } write: {
      .string($0.betaSchedule.rawValue)
    },
    Key(name: "trained_betas", kinds: all) { config, reader throws(SchedulerConfigError) in
      config.betas = try reader.numbers("trained_betas")
    } write: {
      $0.writtenBetas.map { .array($0.map { .number($0) }) } ?? .null
    },
    flag("rescale_betas_zero_snr", \.zeroTerminalSNR, [.ddpm, .ddim, .dpmSolver, .unipc, .euler, .eulerAncestral]),
    choice("prediction_type", \.prediction, all),
    flag("thresholding", \.thresholds, thresholding),
    number("dynamic_thresholding_ratio", \.thresholdRatio, thresholding, "a number from 0 to 1") { 0 <= $0 && $0 <= 1 },
    number("sample_max_value", \.thresholdMaximum, thresholding, "a finite number from 1") { 1 <= $0 && $0.isFinite },
    choice("timestep_spacing", \.spacing, all.subtracting([.singlestep])),
    Key(name: "steps_offset", kinds: all.subtracting([.singlestep])) { config, reader throws(SchedulerConfigError) in
      config.stepsOffset = try reader.integer("steps_offset", in: 0...config.T) ?? config.stepsOffset
    } write: {
      .integer($0.stepsOffset)
    },
    flag("clip_sample", \.clipsSample, clipping),
    number("clip_sample_range", \.clipRange, clipping),
    variance,
    flag("set_alpha_to_one", \.finalAlphaIsOne, [.ddim, .pndm]),
    flag("skip_prk_steps", \.skipsRungeKutta, [.pndm]),

    Key(name: "solver_order", kinds: solvers) { config, reader throws(SchedulerConfigError) in
      config.order = try reader.integer("solver_order", in: 1...3) ?? config.order
    } write: {
      .integer($0.order)
    },
    algorithm,
    solverType,
    flag("lower_order_final", \.lowerOrderFinal, solvers),
    flag("euler_at_final", \.eulerAtFinal, [.dpmSolver]),
    Key(name: "final_sigmas_type", kinds: sigmaEnding) { config, reader throws(SchedulerConfigError) in
      guard let name = try reader.string("final_sigmas_type") else { return }
      guard name == "zero" || name == "sigma_min" else {
        throw .value(key: "final_sigmas_type", found: name, allowed: ["zero", "sigma_min"])
      }
      config.finalSigmaIsZero = name == "zero"
    } write: {
      .string($0.finalSigmaIsZero ? "zero" : "sigma_min")
    },
    number("lambda_min_clipped", \.minimumLambda, [.dpmSolver, .singlestep]),
    Key(name: "disable_corrector", kinds: [.unipc]) { config, reader throws(SchedulerConfigError) in
      config.uncorrected = try reader.integers("disable_corrector") ?? config.uncorrected
    } write: {
      .array($0.uncorrected.map { .integer($0) })
    },

    sigmas("use_karras_sigmas", .karras),
    sigmas("use_exponential_sigmas", .exponential),
    sigmas("use_beta_sigmas", .beta),
    sigmaEnd("sigma_min", \.sigmaMin),
    sigmaEnd("sigma_max", \.sigmaMax),

    // What is supported with one value only.
    fixed("use_lu_lambdas", false, [.dpmSolver], "set use_exponential_sigmas, which is as even in λ"),
    fixed("use_flow_sigmas", false, solvers, "set it to false: β says the noise levels"),
    fixed("use_dynamic_shifting", false, solvers, "set it to false: β says the noise levels"),
    fixed("predict_x0", true, [.unipc], "set it to true"),
    fixed("solver_p", nil, [.unipc], "leave it null"),
    fixed("shift_terminal", nil, [.unipc], "leave it null"),
    fixed("interpolation_type", "linear", [.euler], "use linear, or set use_exponential_sigmas"),
    fixed("timestep_type", "discrete", [.euler], "use discrete: the network was trained at whole timesteps"),
    // Without use_flow_sigmas and use_dynamic_shifting these two do nothing.
    inert("flow_shift", .number(1), solvers),
    inert("time_shift_type", "exponential", solvers),
  ]

  private static let variance = Key(name: "variance_type", kinds: [.ddpm, .dpmSolver, .singlestep]) {
    config, reader throws(SchedulerConfigError) in
    guard let name = try reader.string("variance_type") else { return }
    switch name {
    // The same σ by another road. (diffusers' own fixed_large_log takes the root of a logarithm and yields NaN.)
    case "fixed_small_log": config.variance = .fixedSmall
    case "fixed_large_log": config.variance = .fixedLarge
    default:
      guard let found = ReverseVariance(rawValue: name) else {
        throw .value(key: "variance_type", found: name, allowed: ReverseVariance.allCases.map(\.rawValue))
      }
      // Networks with this variance say ln σ², and are read so here; diffusers' DDPMScheduler takes the output as σ² itself.
      if found == .learned && config.kind == .ddpm {
        throw .unsupported(
          key: "variance_type", found: name, advice: "use learned_range, or a fixed variance if the network has none")
      }
      config.variance = found
    }
  } write: {
    $0.kind == .ddpm || $0.variance.isLearned ? .string($0.variance.rawValue) : .null
  }

  private static let algorithm = Key(name: "algorithm_type", kinds: [.dpmSolver, .singlestep, .deis]) {
    config, reader throws(SchedulerConfigError) in
    guard let name = try reader.string("algorithm_type") else { return }
    switch (config.kind, name) {
    // Each class takes the other's name for its own.
    case (.deis, "deis"), (.deis, "dpmsolver"), (.deis, "dpmsolver++"): break
    case (.dpmSolver, "dpmsolver++"), (.singlestep, "dpmsolver++"), (.dpmSolver, "deis"), (.singlestep, "deis"): break
    case (.dpmSolver, "sde-dpmsolver++"):
      guard config.order < 3 else {
        throw .unsupported(
          key: "algorithm_type", found: name, advice: "use solver_order 2: diffusers' third order has a wrong sign here"
        )
      }
      config.isStochastic = true
    default:
      throw .unsupported(
        key: "algorithm_type", found: name,
        advice: config.kind == .deis
          ? "use deis" : config.kind == .dpmSolver ? "use dpmsolver++ or sde-dpmsolver++" : "use dpmsolver++")
    }
  } write: {
    .string($0.kind == .deis ? "deis" : $0.isStochastic ? "sde-dpmsolver++" : "dpmsolver++")
  }

  /// Each class takes the names of the others' for its own default.
  private static let solverType = Key(name: "solver_type", kinds: solvers) {
    config, reader throws(SchedulerConfigError) in
    guard let name = try reader.string("solver_type") else { return }
    let names = DPMSolverPlusPlus.Correction.allCases.map(\.rawValue)
    let variants = UniPC.Variant.allCases.map(\.rawValue)
    guard (names + variants + ["logrho"]).contains(name) else {
      throw .value(
        key: "solver_type", found: name,
        allowed: config.kind == .unipc ? variants : config.kind == .deis ? ["logrho"] : names)
    }
    config.correction = .init(rawValue: name) ?? config.correction
    config.variant = .init(rawValue: name) ?? config.variant
  } write: {
    .string($0.kind == .unipc ? $0.variant.rawValue : $0.kind == .deis ? "logrho" : $0.correction.rawValue)
  }

  private typealias Path<Value> = WritableKeyPath<SchedulerConfig, Value> & Sendable

  private static func flag(_ name: String, _ path: Path<Bool>, _ kinds: Set<Kind>) -> Key {
    Key(name: name, kinds: kinds) { config, reader throws(SchedulerConfigError) in
      config[keyPath: path] = try reader.bool(name) ?? config[keyPath: path]
    } write: {
      .bool($0[keyPath: path])
    }
  }

  private static func number(
    _ name: String, _ path: Path<Double>, _ kinds: Set<Kind>, _ wanted: String = "a number",
    where isWanted: @escaping @Sendable (Double) -> Bool = { _ in true }
  ) -> Key {
    Key(name: name, kinds: kinds) { config, reader throws(SchedulerConfigError) in
      config[keyPath: path] = try reader.number(name, wanted, where: isWanted) ?? config[keyPath: path]
    } write: {
      .number($0[keyPath: path])
    }
  }

  private static func choice<Choice: RawRepresentable & CaseIterable & Sendable>(
    _ name: String, _ path: Path<Choice>, _ kinds: Set<Kind>
  ) -> Key where Choice.RawValue == String {
    Key(name: name, kinds: kinds) { config, reader throws(SchedulerConfigError) in
      config[keyPath: path] = try reader.choice(name) ?? config[keyPath: path]
    } write: {
      .string($0[keyPath: path].rawValue)
    }
  }

  private static func sigmas(_ name: String, _ spacing: SigmaSpacing) -> Key {
    Key(name: name, kinds: sigmaSpaced) { config, reader throws(SchedulerConfigError) in
      guard try reader.bool(name) == true else { return }
      if let other = config.sigmas {
        throw .unsupported(key: name, found: "true", advice: "use_\(other.rawValue)_sigmas is true too; choose one")
      }
      config.sigmas = spacing
    } write: {
      .bool($0.sigmas == spacing)
    }
  }

  private static func sigmaEnd(_ name: String, _ path: Path<Double?>) -> Key {
    Key(name: name, kinds: [.unipc, .euler]) { config, reader throws(SchedulerConfigError) in
      config[keyPath: path] = try reader.number(name, "a number above 0") { $0 > 0 && $0.isFinite }
    } write: {
      $0[keyPath: path].map { .number($0) } ?? .null
    }
  }

  private static func fixed(_ name: String, _ value: JSONValue, _ kinds: Set<Kind>, _ advice: String) -> Key {
    Key(name: name, kinds: kinds) { _, reader throws(SchedulerConfigError) in
      try reader.require(value, name, advice)
    } write: { _ in
      value
    }
  }

  /// A key that changes nothing, kept as it is.
  private static func inert(_ name: String, _ value: JSONValue, _ kinds: Set<Kind>) -> Key {
    Key(name: name, kinds: kinds) { _, reader in
      reader.ignore(name)
    } write: {
      $0.others[name] ?? value
    }
  }

  /// β as a list where there is one, or where diffusers may not know the rule's name: it looks for the list first.
  private var writtenBetas: [Double]? {
    betas ?? (Self.rulesOfDiffusers.contains(betaSchedule) ? nil : rule.betas(T: T))
  }

  /// The rules that each of diffusers' classes knows.
  private static let rulesOfDiffusers: Set<BetaSchedule.Name> = [.linear, .scaledLinear, .cosine]
}
