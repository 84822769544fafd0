import DDPM
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
      ["initialization": "zero"],
    ] as [[String: JSONValue]]) func nonsenseIsRefused(object: [String: JSONValue]) throws
  {
    let configuration = try TrainingConfiguration(over: TrainingConfiguration(), layers: [("file", object)])
    #expect(throws: ConfigurationError.self) { try configuration.validate() }
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
