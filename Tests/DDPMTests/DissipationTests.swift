import CPUBackend
import DDPM
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
#if canImport(Glibc)
  import Glibc
#endif

/// What a model's directory keeps of its thermodynamics, and what is made of it.
@Suite(.serialized) struct DissipationTests {
  private let backend = CPUBackend(.init(threads: 1))

  @Test func whatIsKeptPlacesTheLevels() throws {
    let folder = try EvaluationFolder()
    let directory = try folder.model()
    let model = try Model(directory, on: backend)
    #expect(throws: SamplingError.noDissipation(directory.path)) { try model.dissipation() }

    let production = (1...20).map { 1 / Double($0) }
    let kept = Dissipation(production: production, data: "d")
    try kept.write(toModelIn: directory)
    #expect(try model.dissipation() == kept)
    // diffusers' own files are as they were, and the directory is a pipeline still.
    #expect(try PipelineDirectory(readingConfigurationOf: directory).schedulerJSON != nil)

    for method in [SamplerChoice.ddpm, .ddim, .dpmSolver, .heun] {
      let plan = try model.plan(method, steps: 6).sharing(kept)
      #expect(try plan.timesteps == TimestepSpacing.sharing(production, into: 6))
    }
    let plan = try model.plan(.ddim, steps: 3).visiting([20, 7, 1])
    #expect(plan.timesteps == [20, 7, 1])
    for levels in [[], [21, 3], [5, 5], [3, 9], [4, 0]] {
      #expect(throws: SamplingError.levels(levels, T: 20)) { try plan.visiting(levels.map { Timestep($0) }) }
    }
  }

  @Test(arguments: [
    ("", "JSON"), ("{}", "another form"), (#"{"format": "ddpm-dissipation-1", "production": [1, 2]}"#, "2 timesteps"),
    (#"{"format": "ddpm-dissipation-1", "production": [1, -2, 0]}"#, "-2"),
    (#"{"format": "ddpm-dissipation-1", "production": [1, NaN, 0]}"#, "NaN"),
  ])
  func damagedFilesAreNamed(_ text: String, _ problem: String) throws {
    try withTemporaryFolder { folder in
      let file = folder.appending(path: "dissipation.json")
      try AtomicFile.write(text, to: file)
      #expect {
        try Dissipation(ofModelIn: folder, T: 3)
      } throws: {
        "\($0)".hasPrefix(file.path) && (problem == "JSON" || "\($0)".contains(problem))
      }
    }
  }

  /// The β for training share the production equally, and are a configuration.
  @Test func trainingWithEqualShares() throws {
    let schedule = try NoiseSchedule(T: 40, rescaled: true)
    let kl = { (ᾱ: Double) -> Double in
      let v = 0.25 * ᾱ + 1 - ᾱ
      return 0.5 * (v - 1 - log(v))
    }
    let production = schedule.timesteps.map { kl(schedule.alphaBar[$0.previous]) - kl(schedule.alphaBar[$0]) }
    let training = try Dissipation(production: production, data: "d").training(schedule)
    let object = try #require(training.object)
    let configuration = try TrainingConfiguration(over: TrainingConfiguration(), layers: [("file", object)])
    #expect(configuration.timesteps == 40)
    let shared = try configuration.scheduler.schedule()
    let shares = shared.timesteps.map { kl(shared.alphaBar[$0.previous]) - kl(shared.alphaBar[$0]) }
    let mean = shares.reduce(0, +) / 40
    // The first steps fall within the first of the measured ones, between which the production is interpolated.
    #expect(shares.allSatisfy { abs($0 / mean - 1) < 0.4 }, "\(shares)")
    #expect(shares.dropFirst(10).allSatisfy { abs($0 / mean - 1) < 0.1 }, "\(shares)")
    #expect(abs(shared.alphaBar[40] - schedule.alphaBar[40]) < 1e-12)
  }
}
