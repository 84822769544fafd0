import Diffusers
import Diffusion
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct SchedulerConfigTests {
  private func config(_ keys: String, _ name: String = "DDPMScheduler") throws -> SchedulerConfig {
    try SchedulerConfig(json: #"{"_class_name": "\#(name)"\#(keys.isEmpty ? "" : ", ")\#(keys)}"#)
  }

  /// What diffusers wrote is written again, byte for byte.
  @Test(arguments: SamplerGoldenTests.runs().filter { !["inverse-20", "heun-10", "euler-10"].contains($0.name) })
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
    #expect(try config(#""lambda_min_clipped": -Infinity"#, "DPMSolverMultistepScheduler").minimumλ == -.infinity)
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
      ("PNDMScheduler", "", .unknownClass("PNDMScheduler")),
      (
        "DPMSolverMultistepScheduler", #""use_karras_sigmas": true"#,
        .unsupported(key: "use_karras_sigmas", found: "true", advice: "set it to false and choose a timestep_spacing")
      ),
      (
        "DPMSolverMultistepScheduler", #""algorithm_type": "sde-dpmsolver++""#,
        .unsupported(key: "algorithm_type", found: "sde-dpmsolver++", advice: "use dpmsolver++")
      ),
      (
        "DPMSolverMultistepScheduler", #""solver_order": 3"#,
        .unsupported(key: "solver_order", found: "3", advice: "use 2, the order advised for guided sampling")
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
