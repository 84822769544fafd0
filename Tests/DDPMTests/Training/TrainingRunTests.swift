import CPUBackend
import DDPM
import Datasets
import Diffusers
import Files
import TensorGraph
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct TrainingRunTests {
  let backend = CPUBackend(.init(threads: 1))

  /// Small enough for a step of milliseconds.
  static var tiny: TrainingConfiguration {
    var configuration = TrainingConfiguration()
    configuration.imageSize = 8
    configuration.blockOutChannels = [8, 8]
    configuration.normGroups = 4
    configuration.attentionResolutions = [4]
    configuration.timesteps = 20
    configuration.batchSize = 4
    configuration.steps = 6
    configuration.dropout = 0.1
    configuration.warmupSteps = 2
    configuration.logEvery = 2
    configuration.checkpointEvery = 2
    configuration.keepCheckpoints = 2
    configuration.sampleEvery = 3
    configuration.sampleCount = 2
    configuration.sampleSteps = 3
    return configuration
  }

  /// A folder that does not exist yet.
  private func inFolder<Success>(_ body: (URL) throws -> Success) throws -> Success {
    try withTemporaryFolder { try body($0.appending(path: "run")) }
  }

  private func bytes(_ url: URL) throws -> [UInt8] { try FileBytes.read(url.path, limit: 1 << 30) }

  struct Stopped: Error {}

  @Test(
    arguments: [
      [:], ["accumulate": 2], ["timestep_sampling": "importance", "timesteps": 1, "sample_steps": 1],
      ["variance": "learned_range", "loss": "hybrid"],
      ["classes": true, "loss": "min_snr", "prediction": "v_prediction"],
      ["classes": true, "condition_dropout": 0, "accumulate": 2],
      ["classes": true, "condition_dropout": 0.5, "sample_guidance": 3],
      ["super_resolution_scale": 2],
      ["weight_decay": 0.01, "gradient_clip": 0, "decay": "cosine"],
    ] as [[String: JSONValue]]) func resumesToTheLastBit(options: [String: JSONValue]) throws
  {
    let configuration = try TrainingConfiguration(over: Self.tiny, layers: [("test", options)])
    try inFolder { straight in
      try inFolder { broken in
        try train(configuration, output: straight, on: backend)
        // Dies in the fourth step's report, after the checkpoint of step 2; steps 3 and 4 are lost and done again.
        #expect(throws: Stopped.self) {
          try TrainingRun(configuration, output: broken, on: backend)() {
            if case .step(let report) = $0, report.step == 4 { throw Stopped() }
            return .goOn
          }
        }
        try resume(broken, on: backend)

        #expect(RunDirectory(broken).checkpoints.steps == [4, 6])
        let last = RunDirectory(straight).checkpoints.url(step: 6)
        let files = try FileManager.default.contentsOfDirectory(atPath: last.path).sorted()
        #expect(files.contains("state.json"))
        for file in files {
          let other = RunDirectory(broken).checkpoints.url(step: 6).appending(path: file)
          #expect(try bytes(last.appending(path: file)) == bytes(other), "\(file)")
        }
        var written = [
          "unet/diffusion_pytorch_model.safetensors", "unet/config.json", "training.json",
          "scheduler/scheduler_config.json", "model_index.json",
        ]
        // Nothing is drawn without a picture to enlarge.
        if configuration.superResolutionScale == nil { written.append("samples/step-00000006.png") }
        if configuration.classes || configuration.superResolutionScale != nil { written.append("ddpm.json") }
        for file in written {
          #expect(try bytes(straight.appending(path: file)) == bytes(broken.appending(path: file)), "\(file)")
        }
        let losses = try [straight, broken].map { try MetricsLog.losses(RunDirectory($0).metrics) }
        #expect(losses[0].map(\.step) == [2, 4, 6])
        #expect(losses[0].map(\.loss) == losses[1].map(\.loss))
      }
    }
  }

  /// What a model was trained to predict, and with which β, it is trained on with, unless the user contradicts.
  @Test(
    arguments: [
      ["prediction": "v_prediction", "beta_schedule": "warmup10", "beta_end": 0.3],
      ["prediction": "sample", "timesteps": 25, "rescale_betas": true],
      ["prediction": "v_prediction", "zero_terminal_snr": true, "variance": "learned_range", "loss": "hybrid"],
      ["attention_resolutions": [8, 4], "variance": "fixed_small"],
    ] as [[String: JSONValue]]) func aModelIsTrainedOnAsItWas(options: [String: JSONValue]) throws
  {
    try inFolder { first in
      try inFolder { second in
        var configuration = try TrainingConfiguration(over: Self.tiny, layers: [("test", options)])
        (configuration.steps, configuration.sampleEvery) = (1, 0)
        try train(configuration, output: first, on: backend)
        var base = Self.tiny
        (base.steps, base.sampleEvery) = (2, 0)
        #expect(throws: ConfigurationError.self) {
          try TrainingRun(base, output: second, start: first, on: backend)
        }

        let layer = try TrainingConfiguration.layer(ofModel: first)
        let agreed = try TrainingConfiguration(over: base, layers: [layer])
        #expect(
          try TrainingRun(agreed, output: second, start: first, on: backend)(observe: { _ in .goOn }) == .finished)
        let scheduler = "scheduler/scheduler_config.json"
        #expect(try bytes(first.appending(path: scheduler)) == bytes(second.appending(path: scheduler)))
        let written = try RunDirectory(second).readConfiguration()
        #expect(written.prediction == configuration.prediction && written.variance == configuration.variance)
        #expect(written.timesteps == configuration.timesteps)
        #expect(written.attentionResolutions == configuration.attentionResolutions)
        try resume(second, changes: ["steps": 3], on: backend)
        #expect(try bytes(first.appending(path: scheduler)) == bytes(second.appending(path: scheduler)))
      }
    }
  }

  @Test(
    arguments: [
      ["prediction": "epsilon"], ["timesteps": 21], ["beta_schedule": "cosine"], ["beta_start": 1e-3],
      ["beta_end": 0.1], ["zero_terminal_snr": true], ["variance": "fixed_small"],
    ] as [[String: JSONValue]]) func contradictionsToAModelAreNamed(options: [String: JSONValue]) throws
  {
    try inFolder { first in
      try inFolder { second in
        var configuration = Self.tiny
        (configuration.steps, configuration.sampleEvery, configuration.prediction) = (1, 0, .velocity)
        try train(configuration, output: first, on: backend)
        let layers = [try TrainingConfiguration.layer(ofModel: first), ("the command line", options)]
        let contradiction = try TrainingConfiguration(over: configuration, layers: layers)
        let error = #expect(throws: ConfigurationError.self) {
          try TrainingRun(contradiction, output: second, start: first, on: backend)
        }
        let key = try #require(options.keys.first)
        #expect(error?.description.hasPrefix("\(key) is ") == true, "\(error?.description ?? "")")
      }
    }
  }

  /// A schedule that leaves images in x_T is pointed out.
  @Test(arguments: [(false, true), (true, false)]) func schedulesThatEndEarlyAreNamed(rescaled: Bool, warns: Bool)
    throws
  {
    try inFolder { folder in
      var configuration = Self.tiny
      (configuration.steps, configuration.sampleEvery, configuration.rescaleBetas) = (1, 0, rescaled)
      configuration.timesteps = 100
      var warnings: [String] = []
      let outcome = try TrainingRun(configuration, output: folder, on: backend)() {
        if case .warning(let text) = $0 { warnings.append(text) }
        return .goOn
      }
      #expect(outcome == .finished)
      #expect(warnings.contains { $0.hasPrefix("ᾱ_T is 0.364") } == warns)
    }
  }

  @Test(arguments: ["step", "cursor", "seed"]) func countsBelowZeroAreNamed(key: String) throws {
    try inFolder { folder in
      var configuration = Self.tiny
      (configuration.steps, configuration.sampleEvery, configuration.keepCheckpoints) = (1, 0, 1)
      try train(configuration, output: folder, on: backend)
      let file = RunDirectory(folder).checkpoints.url(step: 1).appending(path: "state.json")
      var state = try #require(JSONValue(parsing: bytes(file)).object)
      // The manifest would notice any edit; checkpoints of earlier versions have none.
      try FileManager.default.removeItem(at: file.deletingLastPathComponent().appending(path: "manifest.json"))
      for value in [-1, Int.max] {
        state[key] = .integer(value)
        try AtomicFile.write(JSONValue.object(state).compactText, to: file)
        let error = #expect(throws: TrainingError.self) { try resume(folder, changes: ["steps": 2], on: backend) }
        #expect(error?.description.contains("\(key) is \(value)") == true, "\(error?.description ?? "")")
      }
    }
  }

  @Test func aRunIsNeverOverwritten() throws {
    try inFolder { folder in
      var configuration = Self.tiny
      (configuration.steps, configuration.logEvery) = (2, 1)
      try train(configuration, output: folder, on: backend)
      #expect(throws: TrainingError.self) { try TrainingRun(configuration, output: folder, on: backend) }
      // A finished run has its plots written again, and nothing else.
      let plot = folder.appending(path: "loss.png")
      let first = try bytes(plot)
      try FileManager.default.removeItem(at: plot)
      try resume(folder, on: backend)
      #expect(try bytes(plot) == first)
      #expect(RunDirectory(folder).checkpoints.steps == [0, 2])
      #expect(throws: TrainingError.self) {
        try TrainingRun(resuming: folder, changes: ["adam_beta1": 0.5, "steps": 4], on: backend)
      }
      try resume(folder, changes: ["steps": 4], on: backend)
      #expect(RunDirectory(folder).checkpoints.steps.last == 4)
      configuration.steps = 1
      try train(configuration, output: folder, replaces: true, on: backend)
      #expect(RunDirectory(folder).checkpoints.steps == [0, 1])
    }
  }

  /// As a kill leaves it in the middle of `replaces: true`: the old run's files set aside, some of the new one's in their place.
  @Test func aRunThatIsHalfReplacedComesBack() throws {
    try inFolder { folder in
      var configuration = Self.tiny
      configuration.steps = 2
      try train(configuration, output: folder, on: backend)
      let model = folder.appending(path: "unet/diffusion_pytorch_model.safetensors")
      let expected = (try bytes(model), try bytes(RunDirectory(folder).configuration))

      let aside = folder.appending(path: ".ddpm-replaced")
      try FileManager.default.createDirectory(at: aside, withIntermediateDirectories: false)
      for name in ["training.json", "unet", "checkpoints"] {
        try FileManager.default.moveItem(at: folder.appending(path: name), to: aside.appending(path: name))
      }
      try AtomicFile.write("", to: folder.appending(path: ".ddpm-birth"))
      try AtomicFile.write("{}", to: RunDirectory(folder).configuration)

      try RunDirectory(folder).recover()
      #expect((try bytes(model), try bytes(RunDirectory(folder).configuration)) == expected)
      #expect(!FileManager.default.fileExists(atPath: aside.path))
      try resume(folder, changes: ["steps": 3], on: backend)
      #expect(RunDirectory(folder).checkpoints.steps.last == 3)
    }
  }

  @Test func aLossThatIsNoNumberStops() throws {
    try inFolder { folder in
      var configuration = Self.tiny
      configuration.learningRate = 1e30
      configuration.gradientClip = 0
      configuration.sampleEvery = 0
      configuration.warmupSteps = 0
      let error = #expect(throws: TrainingError.self) {
        try train(configuration, output: folder, on: backend)
      }
      guard case .notFinite = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      // The checkpoint of step 0 is whole, and the model can be read.
      #expect(RunDirectory(folder).checkpoints.steps.first == 0)
      _ = try PipelineDirectory.load(folder)
    }
  }

  @Test func sizesThatCannotBeHalvedAreNamed() {
    var configuration = Self.tiny
    configuration.imageSize = 30
    configuration.blockOutChannels = [8, 8, 8, 8]
    let folder = FileManager.default.temporaryDirectory.appending(path: "ddpm-never")
    let error = #expect(throws: ConfigurationError.self) {
      try TrainingRun(configuration, output: folder, on: backend)
    }
    #expect(error?.description.contains("32×32") == true)
    #expect(!FileManager.default.fileExists(atPath: folder.path))
  }
}

/// Prepares a run and runs it.
func train(
  _ configuration: TrainingConfiguration, output: URL, replaces: Bool = false, on backend: any Backend
) throws {
  let run = try TrainingRun(configuration, output: output, replaces: replaces, on: backend)
  #expect(try run { _ in .goOn } == .finished)
}

func resume(_ output: URL, changes: [String: JSONValue] = [:], on backend: any Backend) throws {
  let run = try TrainingRun(resuming: output, changes: changes, on: backend)
  #expect(try run { _ in .goOn } == .finished)
}
