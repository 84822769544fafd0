import DDPM
import Datasets
import Diffusion
import Files
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Cloning with exact denoisers, where what copies share is known.
@Suite struct CloningTests {
  /// Two points ±1 of variance 0.04 on a line.
  private func run(batchSize: Int) throws -> CloningRun<ExactDenoiser<GaussianMixture>> {
    let schedule = try NoiseSchedule(T: 60, rescaled: true)
    let process = try ReverseProcess(schedule: schedule, variance: .learned, limit: .none)
    let mixture = try GaussianMixture([
      .init(mean: [1], covariance: .isotropic(0.04)), .init(mean: [-1], covariance: .isotropic(0.04)),
    ])
    return CloningRun(
      CloningExperiment(process: process, timesteps: schedule.timesteps.reversed(), seed: 3),
      denoiser: ExactDenoiser(mixture, schedule: schedule, predictsVariance: true), shape: .init(1, 1, 1, 1),
      batchSize: batchSize, condition: { _ in .none }, classify: { $0.scalars.map { $0 > 0 ? 1 : 0 } })
  }

  @Test func likenessIsWhatTheErrorLeaves() throws {
    let run = try run(batchSize: 200)
    var statistics = CloningStatistics(at: [60, 30, 18, 6])
    try run(&statistics, upTo: 800)
    let schedule = run.experiment.process.schedule
    // tr Σ = m² + s²
    let likeness = statistics.likeness(totalVariance: 1.04)
    let agreement = try #require(statistics.agreement)
    for (i, t) in statistics.levels.enumerated() {
      // 1 − mmse_x/tr Σ, by many draws of x_t
      let x0 = Images(
        shape: .init(4000, 1, 1, 1),
        scalars: zip(CounterNoise(seed: 8).initialNoise(shape: .init(4000, 1, 1, 1)).scalars, 0...).map {
          0.2 * $0.0 + ($0.1 % 2 == 0 ? 1 : -1)
        })
      let known = run.denoiser.data.measured(
        x0, epsilon: CounterNoise(seed: 9).initialNoise(shape: .init(4000, 1, 1, 1)), at: t, schedule: schedule)
      let expected = 1 - known.εError.value / schedule.snr[t] / 1.04
      // Five standard errors, and what 60 steps leave of the exact process.
      #expect(abs(likeness[i].value - expected) < 5 * likeness[i].error + 0.04, "t = \(t): \(likeness[i]), \(expected)")
    }
    #expect(agreement[0].value < 0.6 && agreement[3].value > 0.95)
    #expect(run.predictions(at: statistics.levels) == 60 + 60 + 30 + 18 + 6)
  }

  /// In parts, stopped and read back, it is the same experiment.
  @Test func partsAreTheWhole() throws {
    let folder = try TemporaryFolder()
    let file = folder.url.appending(path: "clones")
    var whole = CloningStatistics(at: [30, 6])
    try run(batchSize: 10)(&whole, upTo: 10)
    var part = CloningStatistics(at: [30, 6])
    try run(batchSize: 3)(&part, upTo: 4)
    #expect(part.count == 4)
    try part.write(to: file, identity: ["seed": 3])
    var again = try CloningStatistics(reading: file, expecting: ["seed": 3], at: [30, 6])
    #expect(again == part)
    try run(batchSize: 7)(&again, upTo: 10)
    #expect(again == whole)
    #expect(throws: EvaluationError.otherState(file.path, key: "seed", found: "3", wanted: "4")) {
      try CloningStatistics(reading: file, expecting: ["seed": 4], at: [30, 6])
    }
    #expect(throws: EvaluationError.damagedState(file.path, "it is not of 3 levels")) {
      try CloningStatistics(reading: file, expecting: ["seed": 3], at: [30, 6, 1])
    }
  }

  /// Points of a labelled set are told apart by what lies next to them.
  @Test func dataTellsClassesApart() throws {
    let data = Dataset.points(.moons)
    let classify = try #require(try data.classifier(of: 1000, alphaBar: 0.9999))
    let test = Dataset.points(.moons, split: .test)
    let examples = try (0..<200).map { try test.load($0) }
    let found = try classify(Images(shape: .init(200, 2, 1, 1), scalars: examples.flatMap(\.x0)))
    #expect(zip(found, examples).count { $0.0 == Int($0.1.label) } >= 195)
    #expect(try Dataset.points(.checkerboard).classifier(of: 10, alphaBar: 0.9) == nil)
  }
}
