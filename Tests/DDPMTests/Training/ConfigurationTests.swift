import DDPM
import Datasets
import Diffusion
import Files
import Networks
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct ConfigurationTests {
  @Test(arguments: TrainingConfiguration.Preset.allCases) func presetsSurviveAFile(
    _ preset: TrainingConfiguration.Preset
  )
    throws
  {
    let configuration = TrainingConfiguration(preset)
    try configuration.validate()
    let again = try TrainingConfiguration(over: TrainingConfiguration(), layers: [("file", configuration.object)])
    #expect(again == configuration)
  }

  @Test func laterLayersWin() throws {
    let configuration = try TrainingConfiguration(
      over: TrainingConfiguration(.mnist), layers: [("a", ["steps": 7, "dropout": 0.25]), ("b", ["steps": 8])])
    #expect(configuration.steps == 8)
    #expect(configuration.dropout == 0.25)
    #expect(configuration.batchSize == TrainingConfiguration(.mnist).batchSize)
  }

  /// A schedule that no rule gives.
  @Test func betasMayBeListed() throws {
    let betas = [0.01, 0.05, 0.2, 0.4]
    let layer: [String: JSONValue] = ["betas": .array(betas.map { .number($0) }), "timesteps": 4, "sample_steps": 2]
    let configuration = try TrainingConfiguration(over: TrainingConfiguration(), layers: [("file", layer)])
    try configuration.validate()
    let schedule = try configuration.scheduler.schedule()
    #expect(schedule.timesteps.map { schedule.beta[$0] } == betas)
    var short = configuration
    short.timesteps = 5
    #expect(throws: ConfigurationError.self) { try short.validate() }
  }

  @Test func yamlAndJSONSayTheSame() throws {
    try withTemporaryFolder { folder in
      let yaml = folder.appending(path: "a.yaml")
      let json = folder.appending(path: "a.json")
      try Data("preset: mnist\nlearning_rate: 1e-4\nblock_out_channels: [8, 16]\nflip: true # mirror\n".utf8).write(
        to: yaml)
      try Data(
        #"{"preset": "mnist", "learning_rate": 1e-4, "block_out_channels": [8, 16], "flip": true}"#.utf8
      ).write(to: json)
      let (a, b) = (try TrainingConfiguration.readFile(yaml), try TrainingConfiguration.readFile(json))
      #expect(a.preset == .mnist && b.preset == .mnist)
      #expect(a.object == b.object)
    }
  }

  @Test(
    arguments: [
      (["stepz": 3], "unknown key stepz"), (["steps": "many"], "steps is \"many\", where an integer is wanted"),
      (["decay": "linear"], "decay is \"linear\", where constant or cosine is wanted"),
    ] as [([String: JSONValue], String)]) func mistakesAreNamed(object: [String: JSONValue], message: String)
  {
    let error = #expect(throws: ConfigurationError.self) {
      try TrainingConfiguration(over: TrainingConfiguration(), layers: [("file", object)])
    }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
  }

  @Test(
    arguments: [
      ["steps": 0], ["batch_size": 7, "accumulate": 2], ["learning_rate": -1.0], ["dropout": 0.5, "loss": "hybrid"],
      ["ema_decay": 1.0], ["sample_steps": 2000], ["loss": "huge"], ["batch_size": 0], ["timesteps": 0], ["seed": -1],
      ["initialization": "zero"], ["sample_guidance": 2],
      ["sample_guidance": 2, "classes": true, "condition_dropout": 0],
    ] as [[String: JSONValue]]) func nonsenseIsRefused(object: [String: JSONValue]) throws
  {
    // Names are refused as they are read, numbers as they are checked.
    #expect(throws: ConfigurationError.self) {
      try TrainingConfiguration(over: TrainingConfiguration(), layers: [("file", object)]).validate()
    }
  }

  /// Fewer steps with rescaled β destroy about as much; rules in t/T stay as they are.
  @Test func betasAreRescaled() throws {
    func last(_ options: [String: JSONValue]) throws -> Double {
      let configuration = try TrainingConfiguration(over: TrainingConfiguration(), layers: [("test", options)])
      let schedule = try configuration.scheduler.schedule()
      return schedule.ᾱ[schedule.last]
    }
    #expect(try abs(last(["timesteps": 100]) - 0.364) < 1e-3)
    #expect(try last(["timesteps": 100, "rescale_betas": true]) < 1e-4)
    #expect(try last(["rescale_betas": true]) == last([:]))
    #expect(
      try last(["timesteps": 100, "rescale_betas": true, "beta_schedule": "cosine"])
        == last(["timesteps": 100, "beta_schedule": "cosine"]))
  }

  /// A model that knows pure noise is sampled from it.
  @Test func zeroTerminalSNRIsSampledFromT() throws {
    var configuration = TrainingConfiguration(.glyphs)
    #expect(configuration.scheduler.spacing == .leading)
    configuration.zeroTerminalSNR = true
    #expect(try configuration.scheduler.converted(to: .ddim).timesteps(50).first == 1000)
  }

  @Test func attentionIsAtSidesThatExist() throws {
    let data = try Dataset.open("glyphs", split: .train)
    func sides(_ configuration: TrainingConfiguration) throws -> [Int]? {
      (try configuration.network(data).0 as? UNetConfig)?.attentionSides(of: data.shape)
    }
    var configuration = TrainingConfiguration()
    #expect(try sides(configuration) == [7])
    configuration.attentionResolutions = [14, 28]
    #expect(try sides(configuration) == [28, 14])
    configuration.attentionResolutions = []
    #expect(try sides(configuration) == [])
    // A preset's list may name sides of other image sizes.
    configuration.attentionResolutions = [14, 16]
    #expect(try sides(configuration) == [14])
    configuration.attentionResolutions = [16]
    let error = #expect(throws: ConfigurationError.self) { try configuration.network(data) }
    #expect(error?.description.contains("attention_resolutions 16") == true)
    #expect(error?.description.contains("28, 14, 7") == true)
    for preset in [TrainingConfiguration.Preset.glyphs, .mnist] {
      #expect(try sides(TrainingConfiguration(preset)) == [7])
    }
  }

  @Test func scheduleOfTheLearningRate() {
    var configuration = TrainingConfiguration()
    (configuration.learningRate, configuration.warmupSteps, configuration.steps) = (2, 10, 110)
    #expect(configuration.learningRate(step: 1) == 0.2)
    #expect(configuration.learningRate(step: 10) == 2)
    #expect(configuration.learningRate(step: 100) == 2)
    configuration.decay = .cosine
    #expect(abs(configuration.learningRate(step: 60) - 1) < 1e-12)
    #expect(abs(configuration.learningRate(step: 110)) < 1e-12)
  }

  @Test func averageWarmsUp() {
    var configuration = TrainingConfiguration()
    #expect(configuration.emaDecay(step: 1) == 2.0 / 11)
    #expect(configuration.emaDecay(step: 1_000_000) == 0.9999)
    configuration.emaWarmup = false
    #expect(configuration.emaDecay(step: 1) == 0.9999)
  }
}
