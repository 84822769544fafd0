import Diffusers
import Diffusion
import Files
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct SchedulerConfigTests {
  private func config(
    _ keys: String, _ name: String = "DDPMScheduler", tolerating: Bool = false
  ) throws -> SchedulerConfig {
    let text = #"{"_class_name": "\#(name)"\#(keys.isEmpty ? "" : ", ")\#(keys)}"#
    guard tolerating else { return try SchedulerConfig(json: text) }
    return try SchedulerConfig(tolerating: JSONValue(parsing: text).object ?? [:])
  }

  /// What diffusers wrote is written again, byte for byte.
  @Test(arguments: SamplerGoldenTests.runs().filter { $0.name != "inverse-20" })
  func textSurvives(_ run: SamplerGoldenTests.Run) throws {
    #expect(try SchedulerConfig(json: run.config).json == run.config)
  }

  @Test(.needsShared, arguments: ["cifar10-thin", "mnist", "classes", "learned-range"])
  func pipelineFilesSurvive(_ name: String) throws {
    let data = try String(
      contentsOf: SharedFiles.url("reference/pipelines/\(name)/scheduler/scheduler_config.json"), encoding: .utf8)
    let config = try SchedulerConfig(json: data)
    #expect(config.json == data)
    #expect(config.variance == (name == "learned-range" ? .learnedRange : .fixedLarge))
    #expect(config.limit == .clip(1) && config.prediction == .epsilon)
    #expect(try config.schedule() == NoiseSchedule())
  }

  @Test func absentKeysAreDiffusersDefaults() throws {
    #expect(try config("") == SchedulerConfig(.ddpm))
    let solver = try config("", "DPMSolverMultistepScheduler")
    #expect(solver.spacing == .linspace && solver.limit == .none && solver.finalSigmaIsZero && solver.order == 2)
    // As old as google/ddpm-cifar10-32.
    let old = try config(
      #""_diffusers_version": "0.1.1", "num_train_timesteps": 1000, "tensor_format": "pt", "timestep_values": null, "predict_epsilon": true, "variance_type": "fixed_large""#
    )
    #expect(old.variance == .fixedLarge && old.others["tensor_format"] == .string("pt"))
    #expect(old.json.contains("\"tensor_format\": \"pt\""))
  }

  @Test func everyKeyIsRead() throws {
    let ddim = try config(
      #""beta_schedule": "scaled_linear", "beta_start": 0.001, "beta_end": 0.01, "num_train_timesteps": 100, "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1, "prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": true"#,
      "DDIMScheduler")
    #expect(ddim.T == 100 && ddim.betaStart == 0.001 && ddim.betaEnd == 0.01 && !ddim.finalAlphaIsOne)
    #expect(ddim.prediction == .velocity && ddim.spacing == .trailing && ddim.stepsOffset == 1 && ddim.limit == .none)
    #expect(try ddim.schedule().ᾱ[100] == 0)
    let explicit = try config(#""trained_betas": [0.1, 0.2, 0.5], "num_train_timesteps": 3, "thresholding": true"#)
    #expect(try explicit.schedule().β.values == [0, 0.1, 0.2, 0.5])
    #expect(explicit.limit == .dynamic(ratio: 0.995, maximum: 1))
    #expect(try config(#""lambda_min_clipped": -Infinity"#, "DPMSolverMultistepScheduler").minimumLambda == -.infinity)
  }

  @Test(
    arguments: [
      (
        "DDPMScheduler", #""beta_shedule": "linear""#,
        SchedulerConfigError.unknownKey("beta_shedule", found: "\"linear\"")
      ),
      (
        "DDPMScheduler", #""variance_type": "wide""#,
        .value(
          key: "variance_type", found: "wide", allowed: ["fixed_small", "fixed_large", "learned", "learned_range"])
      ),
      (
        "DDPMScheduler", #""num_train_timesteps": 0"#,
        .type(key: "num_train_timesteps", found: "0", wanted: "an integer from 1 to 1000000")
      ),
      (
        "DDPMScheduler", #""num_train_timesteps": 1000000000000"#,
        .type(key: "num_train_timesteps", found: "1000000000000", wanted: "an integer from 1 to 1000000")
      ),
      (
        "DDPMScheduler", #""steps_offset": 9223372036854775807"#,
        .type(key: "steps_offset", found: "9223372036854775807", wanted: "an integer from 0 to 1000")
      ),
      (
        "DDPMScheduler", #""steps_offset": 11, "num_train_timesteps": 10"#,
        .type(key: "steps_offset", found: "11", wanted: "an integer from 0 to 10")
      ),
      (
        "DDPMScheduler", #""dynamic_thresholding_ratio": 1.5"#,
        .type(key: "dynamic_thresholding_ratio", found: "1.5", wanted: "a number from 0 to 1")
      ),
      (
        "DDPMScheduler", #""dynamic_thresholding_ratio": NaN"#,
        .type(key: "dynamic_thresholding_ratio", found: "NaN", wanted: "a number from 0 to 1")
      ),
      (
        "DDPMScheduler", #""sample_max_value": 0.5"#,
        .type(key: "sample_max_value", found: "0.5", wanted: "a finite number from 1")
      ),
      (
        "DDPMScheduler", #""sample_max_value": Infinity"#,
        .type(key: "sample_max_value", found: "Infinity", wanted: "a finite number from 1")
      ),
      (
        "DDPMScheduler", #""variance_type": "learned""#,
        .unsupported(
          key: "variance_type", found: "learned",
          advice: "use learned_range, or a fixed variance if the network has none")
      ),
      ("DDPMScheduler", #""clip_sample": "yes""#, .type(key: "clip_sample", found: "\"yes\"", wanted: "true or false")),
      ("KDPM2DiscreteScheduler", "", .unknownClass("KDPM2DiscreteScheduler")),
      (
        "EDMEulerScheduler", "",
        .otherProcess(
          "EDMEulerScheduler", reason: "its networks see inputs scaled by σ (c_in, c_skip, c_out) and have no β")
      ),
      (
        "DPMSolverMultistepScheduler", #""use_karras_sigmas": true, "use_beta_sigmas": true"#,
        .unsupported(
          key: "use_beta_sigmas", found: "true", advice: "use_karras_sigmas is true too; choose one")
      ),
      (
        "DPMSolverMultistepScheduler", #""algorithm_type": "dpmsolver""#,
        .unsupported(key: "algorithm_type", found: "dpmsolver", advice: "use dpmsolver++ or sde-dpmsolver++")
      ),
      (
        "DPMSolverMultistepScheduler", #""algorithm_type": "sde-dpmsolver++", "solver_order": 3"#,
        .unsupported(
          key: "algorithm_type", found: "sde-dpmsolver++",
          advice: "use solver_order 2: diffusers' third order has a wrong sign here")
      ),
      (
        "DPMSolverMultistepScheduler", #""use_lu_lambdas": true"#,
        .unsupported(
          key: "use_lu_lambdas", found: "true", advice: "set use_exponential_sigmas, which is as even in λ")
      ),
      (
        "DPMSolverMultistepScheduler", #""solver_order": 4"#,
        .type(key: "solver_order", found: "4", wanted: "an integer from 1 to 3")
      ),
      (
        "DPMSolverSinglestepScheduler", #""algorithm_type": "sde-dpmsolver++""#,
        .unsupported(key: "algorithm_type", found: "sde-dpmsolver++", advice: "use dpmsolver++")
      ),
      (
        "UniPCMultistepScheduler", #""predict_x0": false"#,
        .unsupported(key: "predict_x0", found: "false", advice: "set it to true")
      ),
      (
        "UniPCMultistepScheduler", #""disable_corrector": [1.5]"#,
        .type(key: "disable_corrector", found: "[1.5]", wanted: "a list of integers")
      ),
      (
        "UniPCMultistepScheduler", #""use_flow_sigmas": true"#,
        .unsupported(
          key: "use_flow_sigmas", found: "true", advice: "set it to false: β says the noise levels")
      ),
      (
        "EulerDiscreteScheduler", #""timestep_type": "continuous""#,
        .unsupported(
          key: "timestep_type", found: "continuous",
          advice: "use discrete: the network was trained at whole timesteps")
      ),
      (
        "EulerDiscreteScheduler", #""sigma_min": -1"#,
        .type(key: "sigma_min", found: "-1", wanted: "a number above 0")
      ),
      (
        "DEISMultistepScheduler", #""solver_type": "rk4""#,
        .value(key: "solver_type", found: "rk4", allowed: ["logrho"])
      ),
    ])
  func whatChangesResultsIsNotIgnored(_ name: String, _ keys: String, _ error: SchedulerConfigError) {
    #expect(throws: error) { try config(keys, name) }
    #expect(!error.description.isEmpty && !error.description.contains("\n"))
  }

  /// Keys of diffusers' other classes are passed over, as diffusers does, and kept.
  @Test func foreignKeysAreKept() throws {
    let read = try config(#""set_alpha_to_one": false, "solver_order": 2, "skip_prk_steps": true"#)
    #expect(read.json.contains("\"set_alpha_to_one\": false"))
    #expect(try SchedulerConfig(json: read.json) == read)
  }

  /// A bound on λ that leaves no level is named, one that leaves some is not.
  @Test func levelsRemainBelowTheBoundOnλ() throws {
    func solver(_ bound: String) throws -> SchedulerConfig {
      try config(#""lambda_min_clipped": \#(bound)"#, "DPMSolverMultistepScheduler")
    }
    #expect(try solver("-5.1").timesteps(10).count == 10)
    let error = #expect(throws: SchedulerConfigError.self) { try solver("100").timesteps(10) }
    #expect(error?.description.contains("lambda_min_clipped is 100") == true)
  }

  /// What diffusers' `from_config` keeps is kept, from every class to every other; a default gives way to the other's.
  @Test(arguments: SchedulerConfig.Kind.allCases, SchedulerConfig.Kind.allCases)
  func conversionKeepsWhatWasChosen(_ from: SchedulerConfig.Kind, _ to: SchedulerConfig.Kind) {
    var model = SchedulerConfig(from)
    #expect(model.converted(to: to).spacing == SchedulerConfig(to).spacing)
    (model.T, model.betaEnd, model.betaSchedule, model.zeroTerminalSNR) = (50, 0.3, .scaledLinear, true)
    (model.prediction, model.variance, model.thresholds, model.thresholdRatio) = (.velocity, .fixedLarge, true, 0.9)
    (model.spacing, model.stepsOffset) = (.trailing, 1)
    let converted = model.converted(to: to)
    #expect(converted.kind == to && converted.T == 50 && converted.betaEnd == 0.3 && converted.zeroTerminalSNR)
    #expect(converted.betaSchedule == .scaledLinear && converted.prediction == .velocity)
    #expect(converted.variance == .fixedLarge && converted.limit == .dynamic(ratio: 0.9, maximum: 1))
    #expect(converted.spacing == .trailing && converted.stepsOffset == 1)
  }

  /// diffusers reads names that all its classes know, and β as a list for every other rule.
  @Test(
    arguments: [
      ("linear", "linear"), ("quad", "scaled_linear"), ("cosine", "squaredcos_cap_v2"), ("sigmoid", nil),
      ("laplace", nil), ("const", nil), ("jsd", nil), ("warmup10", nil), ("warmup50", nil),
    ] as [(String, String?)], [false, true])
  func rulesAreWrittenForDiffusers(_ names: (rule: String, diffusers: String?), zeroTerminalSNR: Bool) throws {
    var config = SchedulerConfig()
    (config.T, config.betaSchedule) = (40, try #require(BetaSchedule.Name(alias: names.rule)))
    config.zeroTerminalSNR = zeroTerminalSNR
    if let name = names.diffusers {
      #expect(config.members["beta_schedule"] == .string(name) && config.members["trained_betas"] == .null)
    } else {
      // Before any rescaling.
      var plain = config
      plain.zeroTerminalSNR = false
      let betas = try plain.schedule().β.values.dropFirst()
      #expect(config.members["trained_betas"] == .array(betas.map { .number($0) }))
    }
    #expect(try SchedulerConfig(config.members).schedule() == config.schedule())
  }

  /// Each class takes the other solvers' names for its own default, as diffusers does.
  @Test func namesOfOtherSolversAreDefaults() throws {
    #expect(try config(#""solver_type": "bh2""#, "DPMSolverMultistepScheduler").correction == .midpoint)
    #expect(try config(#""solver_type": "heun""#, "UniPCMultistepScheduler").members["solver_type"] == "bh2")
    let deis = try config(
      #""solver_type": "midpoint", "algorithm_type": "dpmsolver++""#, "DEISMultistepScheduler")
    #expect(deis.members["solver_type"] == "logrho" && deis.members["algorithm_type"] == "deis")
  }

  /// Where a sampler is named, the class need not be known: β, T and the prediction say all, and the file is kept as it is.
  @Test func unknownClassesAreTolerated() throws {
    let text = try config(
      #""beta_schedule": "scaled_linear", "beta_end": 0.012, "num_train_timesteps": 500, "prediction_type": "v_prediction", "steps_offset": 1"#,
      "KDPM2DiscreteScheduler", tolerating: true)
    #expect(text.unknownClass == "KDPM2DiscreteScheduler" && text.T == 500 && text.prediction == .velocity)
    #expect(text.members["_class_name"] == "KDPM2DiscreteScheduler" && text.members.count == 6)
    let unipc = SamplerChoice.unipc.scheduler(for: text)
    #expect(unipc.kind == .unipc && unipc.unknownClass == nil && unipc.betaEnd == 0.012)
    #expect(try SchedulerConfig(unipc.members).members == unipc.members)
    #expect(try SamplerChoice.ddpm.scheduler(for: text).timesteps(500).first == 500)

    // A class that is known is read in full, also here.
    #expect(throws: SchedulerConfigError.unknownKey("beta_shedule", found: "\"linear\"")) {
      try config(#""beta_shedule": "linear""#, "DDIMScheduler", tolerating: true)
    }
    for (name, keys) in [
      ("EDMDPMSolverMultistepScheduler", #""beta_schedule": "linear""#), ("FlowMatchEulerDiscreteScheduler", ""),
      ("SomethingElse", #""num_train_timesteps": 10"#),
    ] {
      let error = #expect(throws: SchedulerConfigError.self) { try config(keys, name, tolerating: true) }
      guard case .otherProcess(name, _) = error else {
        Issue.record("\(name): \(String(describing: error))")
        continue
      }
    }
  }

  /// A solver that counts intervals cannot take T of them; what it does by default fits every T.
  @Test(arguments: SamplerChoice.allCases) func defaultStepsFit(_ choice: SamplerChoice) throws {
    for T in 1...60 {
      var model = SchedulerConfig()
      model.T = T
      let scheduler = choice.scheduler(for: model)
      let steps = choice.defaultSteps(T: T)
      let timesteps = try scheduler.timesteps(steps)
      #expect(timesteps.count == steps, "\(choice) of T = \(T)")
      _ = try choice.sampler(scheduler, steps: steps)
    }
  }

  /// The samplers that there have always been sample as they did.
  @Test func choicesKeepWhatTheModelSays() throws {
    #expect(
      SamplerChoice.allCases.map(\.rawValue) == [
        "ddpm", "ddim", "dpmsolver++", "dpmsolver++2s", "dpmsolver++3m", "sde-dpmsolver++", "unipc", "deis", "pndm",
        "plms", "lms", "heun", "euler", "euler_ancestral", "edm",
      ])
    #expect(SamplerChoice.allCases.allSatisfy { !$0.summary.isEmpty && !$0.summary.contains("\n") })
    let lines = SamplerChoice.listing.split(separator: "\n")
    #expect(lines.count == 15 && lines[0].hasPrefix("ddpm             the paper's"))
    var model = SchedulerConfig()
    (model.clipRange, model.T, model.stepsOffset) = (0.9, 40, 1)
    let spacings = SamplerChoice.allCases.map { $0.scheduler(for: model).spacing }
    #expect(spacings.count { $0 == .leading } == 4)
    for choice in SamplerChoice.allCases {
      #expect(choice.scheduler(for: model).limit == (choice == .dpmSolver ? .none : .clip(0.9)), "\(choice)")
      let clips = [.ddpm, .ddim, .heun, .edm].contains(choice)
      #expect(choice.scheduler(for: model, matchesDiffusers: true).limit == (clips ? .clip(0.9) : .none), "\(choice)")
    }
    // As diffusers' from_config: the file's spacing, and clipping only where the class knows it.
    let euler = SamplerChoice.euler.scheduler(for: model, matchesDiffusers: true)
    #expect(euler.spacing == .leading && euler.limit == .none && euler.matchesDiffusers)
    #expect(SamplerChoice.pndm.scheduler(for: model).finalAlphaIsOne)
    #expect(!SamplerChoice.pndm.scheduler(for: model, matchesDiffusers: true).finalAlphaIsOne)
    #expect(SamplerChoice.edm.scheduler(for: model).sigmas == .karras)
    // A model's own third order or noise is not the second order that the name says.
    var solver = SchedulerConfig(.dpmSolver)
    (solver.order, solver.isStochastic) = (3, false)
    #expect(SamplerChoice.dpmSolver.scheduler(for: solver).order == 2)
    #expect(SamplerChoice.sdeDPMSolver.scheduler(for: solver).isStochastic)
    #expect(SamplerChoice.dpmSolver3M.scheduler(for: solver, matchesDiffusers: true).order == 3)
  }

  /// σ is spaced within the schedule's own levels.
  @Test(arguments: [(0.02, 90.0, nil), (0.001, 90, "sigma_min"), (0.02, 200, "sigma_max"), (3, 2, "sigma_max")])
  func sigmasStayWithinTheSchedule(_ least: Double, _ most: Double, _ key: String?) throws {
    var config = SchedulerConfig(.unipc)
    (config.sigmas, config.sigmaMin, config.sigmaMax) = (.karras, least, most)
    guard let key else {
      #expect(try config.timesteps(8).count == 8)
      return
    }
    let error = #expect(throws: SchedulerConfigError.self) { try config.timesteps(8) }
    #expect(error?.description.hasPrefix("scheduler key \(key) is ") == true)
  }

  /// A single step starts at T; diffusers starts at the data's end where its spacing does.
  @Test(arguments: TimestepSpacing.allCases) func oneStepStartsFromNoise(_ spacing: TimestepSpacing) throws {
    for kind in SchedulerConfig.Kind.allCases where kind != .singlestep {
      var config = SchedulerConfig(kind)
      config.spacing = spacing
      let isInterval = [.dpmSolver, .unipc, .deis].contains(kind)
      #expect(try config.timesteps(1) == [spacing == .leading && isInterval ? 501 : 1000])
      config.matchesDiffusers = true
      #expect(
        try config.timesteps(1) == [isInterval ? spacing == .leading ? 501 : 1000 : spacing == .trailing ? 1000 : 1])
    }
  }

  @Test func notJSONIsAnError() {
    #expect(throws: (any Error).self) { try SchedulerConfig(json: "{") }
    #expect(throws: SchedulerConfigError.notAnObject) { try SchedulerConfig(json: "[1]") }
  }

  @Test(
    .needsShared,
    arguments: [
      ("ddpm-fixed_large-1000", SchedulerConfig.Kind.ddpm, "leading", 1000),
      ("ddpm-fixed_small-50", .ddpm, "leading", 50),
      ("ddim-eta0-20", .ddim, "leading", 20), ("ddim-eta0.5-20-trailing", .ddim, "trailing", 20),
      ("dpmsolver++2m-15", .dpmSolver, "linspace", 15),
    ])
  func recordedRunsVisitTheSameLevels(_ name: String, _ kind: SchedulerConfig.Kind, _ spacing: String, _ n: Int) throws
  {
    let recorded = try MiniSafetensors(SharedFiles.url("reference/samplers/\(name).safetensors"))
    var config = SchedulerConfig(kind)
    config.spacing = try #require(TimestepSpacing(rawValue: spacing))
    #expect(try config.timesteps(n).map(\.zeroBased) == recorded.integers("timesteps"))
  }
}
