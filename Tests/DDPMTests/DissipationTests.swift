import CPUBackend
import DDPM
import Datasets
import Diffusers
import Diffusion
import Files
import Networks
import Pictures
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
  private let backend = CPUBackend(.init(threads: 1, tuning: .fixed, cacheFolder: nil))

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
    #expect(shares.allSatisfy { abs($0 / mean - 1) < 0.1 }, "\(shares)")
    #expect(abs(shared.alphaBar[40] - schedule.alphaBar[40]) < 1e-12)
  }
}

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

/// Samples that are points, drawn.
@Suite struct PointPicturesTests {
  private let x = Images(shape: .init(3, 2, 1, 1), scalars: [1, 2, -0.5, 0.25, 0, -1])

  @Test func classesHaveTheirOwnSeries() {
    let pictures = PointPictures(labels: [1, 0, 1], names: ["a", "b"])
    let plot = pictures.points(x, title: "p")
    #expect(plot.series.map(\.name) == ["a", "b"] && plot.series[1].x == [1, 0] && plot.series[1].y == [2, -1])
    #expect(PointPictures().points(x, title: "p").series.map(\.x) == [[1, -0.5, 0]])
    #expect(pictures.csv(x) == "x1,x2,class\n1.0,2.0,b\n-0.5,0.25,a\n0.0,-1.0,b\n")
    #expect(PointPictures().csv(x).hasPrefix("x1,x2\n1.0,2.0\n"))
  }

  /// A density adds up to 1, where all points are seen.
  @Test func densityAddsUpToOne() throws {
    let map = try #require(PointPictures(range: -4...4).density(x, title: "d", cells: 16).heatMap)
    #expect(abs(map.values.reduce(0, +) * 0.25 - 1) < 1e-12)
    // Rows go up: (1, 2) lies in column 10, row 12.
    #expect(map.values[12 * 16 + 10] > 0)
  }

  /// What is written is read again as data.
  @Test func tablesAreData() throws {
    try withTemporaryFolder { folder in
      let file = folder.appending(path: "points.csv")
      try AtomicFile.write(PointPictures(labels: [1, 0, 1], names: ["a", "b"]).csv(x), to: file)
      let data = try Dataset.open(file.path, split: .train)
      #expect(data.count == 3 && data.classes == ["a", "b"] && data.shape.channels == 2)
      #expect(try (0..<3).map { try data.load($0).label } == [1, 0, 1])
    }
  }
}
