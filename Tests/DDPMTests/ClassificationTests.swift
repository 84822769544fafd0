import CPUBackend
import DDPM
import Datasets
import Diffusers
import Diffusion
import Files
import TensorGraph
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Classes by the bound, of data whose best denoiser is known.
@Suite struct ClassificationTests {
  private let schedule: NoiseSchedule
  private let data: GaussianMixture
  private let means: [[Double]]
  private static let shape = Images.Shape(1, 1, 4, 4)

  /// Six classes of one Gaussian each, the last two of which are the same.
  init() throws {
    schedule = try NoiseSchedule(T: 64, rescaled: true)
    let distinct = (0..<5).map { c in
      CounterNoise(seed: 11, firstSample: c).initialNoise(shape: Self.shape).scalars.map { 0.3 * Double($0) }
    }
    means = distinct + [distinct[4]]
    data = try GaussianMixture(
      means.enumerated().map { .init(mean: $1, covariance: .isotropic(0.04), label: $0) })
  }

  private func run(
    timesteps: Int? = nil, eliminates: Bool = false, score: ClassificationScore = .bound, batchSize: Int = 40
  ) throws -> ClassificationRun<ExactDenoiser<GaussianMixture>> {
    let process = try ReverseProcess(schedule: schedule, variance: .fixedSmall, limit: .none)
    let terms = try BoundRun(
      VariationalBound(process, decoder: .density), denoiser: ExactDenoiser(data, schedule: schedule),
      visits: TimestepVisits(T: 64, count: timesteps), seed: 2, batchSize: batchSize)
    return ClassificationRun(terms, classes: 6, eliminates: eliminates, score: score)
  }

  /// Image i, of class i mod 5.
  private func image(_ i: Int) -> EvaluationImage {
    let z = CounterNoise(seed: 5, firstSample: i, stream: .initialization).initialNoise(shape: Self.shape)
    let m = means[i % 5]
    return EvaluationImage(
      x0: Images(shape: Self.shape, scalars: z.scalars.indices.map { Float(m[$0]) + 0.2 * z.scalars[$0] }),
      given: .classes([i % 5]))
  }

  /// Of equal Gaussians Bayes' rule takes the nearest mean.
  private func nearest(_ x: Images) -> Int {
    (0..<5).min { distance(x, means[$0]) < distance(x, means[$1]) } ?? 0
  }

  private func distance(_ x: Images, _ m: [Double]) -> Double {
    zip(x.scalars, m).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
  }

  @Test(arguments: ClassificationScore.allCases, [false, true])
  func theBoundKnowsTheClass(_ score: ClassificationScore, eliminates: Bool) throws {
    var statistics = ClassificationStatistics()
    let run = try run(eliminates: eliminates, score: score)
    try run(&statistics, upTo: 60, image: image)
    #expect(statistics.images.map(\.truth) == (0..<60).map { $0 % 5 })
    let agree = (0..<60).count { statistics.images[$0].best == nearest(image($0).x0) }
    #expect(agree >= 57, "\(agree) of 60 as Bayes' rule")
    #expect(statistics.accuracy == Double(statistics.correct) / 60)
    let predictions = run.classifier.predictions(classes: 6)
    #expect(predictions == (eliminates ? 8 * 6 + 24 * 2 + 32 * 2 : 64 * 6))
    #expect(statistics.images.allSatisfy { $0.predictions == predictions })
  }

  /// Classes that are one are measured with one noise: equal to the last bit, and of equals the first is taken.
  @Test func noiseIsShared() throws {
    let result = try run().classify(image(4).x0, index: 4)
    #expect(result.means[4] == result.means[5])
    #expect(result.best == 4)
    #expect(result.trials == Array(repeating: 64, count: 6))
  }

  /// Whatever is computed together, and wherever it was stopped.
  @Test func resultsDoNotDependOnTheBatchOrOnStops() throws {
    let folder = try EvaluationFolder()
    let file = folder.url.appending(path: "state")
    var whole = ClassificationStatistics()
    try run(timesteps: 16, eliminates: true)(&whole, upTo: 12, image: image)
    var part = ClassificationStatistics()
    try run(timesteps: 16, eliminates: true, batchSize: 7)(&part, upTo: 5, image: image)
    try part.write(to: file, identity: ["seed": 2])
    var resumed = try ClassificationStatistics(reading: file, expecting: ["seed": 2], classes: 6)
    #expect(resumed == part && part.images.count == 5)
    try run(timesteps: 16, eliminates: true, batchSize: 1)(&resumed, upTo: 12, image: image)
    #expect(resumed == whole)

    #expect(throws: EvaluationError.otherState(file.path, key: "seed", found: "2", wanted: "3")) {
      try ClassificationStatistics(reading: file, expecting: ["seed": 3], classes: 6)
    }
    // A class that the model does not know.
    #expect(throws: EvaluationError.damagedState(file.path, "an image's class")) {
      try ClassificationStatistics(reading: file, expecting: ["seed": 2], classes: 2)
    }
    #expect(throws: EvaluationError.noLabel("image 12")) {
      try run()(&resumed, upTo: 13) { EvaluationImage(x0: image($0).x0) }
    }
  }

  /// SciPy's `proportion_ci(method="wilson")`.
  @Test(arguments: [
    (8, 10, 0.4901624715366418, 0.9433178485456248), (0, 5, 0, 0.43448246478317476),
    (487, 500, 0.9560285091657758, 0.9847436160766728),
  ])
  func intervalsAreWilsons(_ hits: Int, _ count: Int, _ low: Double, _ high: Double) throws {
    let folder = try EvaluationFolder()
    let file = folder.url.appending(path: "state")
    let rows = (0..<count).map { i in JSONValue.array([0, .integer(i < hits ? 0 : 1), 1]) }
    let object: [String: JSONValue] = [
      "format": "ddpm-classification-1", "identity": .object([:]), "images": .array(rows),
    ]
    try AtomicFile.write(JSONValue.object(object).compactText, to: file)
    let interval = try ClassificationStatistics(reading: file, expecting: [:], classes: 2).confidence95
    #expect(abs(interval.lowerBound - low) < 1e-12)
    #expect(abs(interval.upperBound - high) < 1e-12)
  }

  @Test func reportsHaveTheirKeysAndPicture() throws {
    var statistics = ClassificationStatistics()
    try run(timesteps: 16)(&statistics, upTo: 10, image: image)
    let subject = EvaluationSubject(
      model: "m", data: "d", split: .test, variance: .fixedSmall, limit: .none, seed: 2, timesteps: 16, T: 64)
    let report = ClassificationReport(
      subject, statistics, names: ["a", "b", "c", "d", "e", "f"], score: .bound, eliminates: false)
    let object = try #require(report.json.object)
    #expect(object["metric"]?.string == "classification")
    #expect(object["accuracy"]?.double == statistics.accuracy)
    #expect(object["confusion"]?.array?.count == 6)
    let sum = object["confusion"]?.array?.flatMap { $0.array ?? [] }.compactMap(\.integer).reduce(0, +)
    #expect(sum == 10)
    #expect(object["predictions"]?.integer == 10 * 6 * 16)
    let map = try #require(report.plot.plots.first?.heatMap)
    #expect(map.columns == 6 && map.values.count == 36)
    // Rows of true classes: the shares of each add up to 1.
    for c in 0..<5 { #expect(abs(map.values[c * 6..<c * 6 + 6].reduce(0, +) - 1) < 1e-12) }
    _ = report.plot.image()
  }

  /// Under the class and under none with the same noise: the gap is what lies between, image by image.
  @Test func theGapIsTheDifference() throws {
    let folder = try EvaluationFolder()
    var card = ModelCard()
    card.nullClass = 62
    let model = try Model(
      folder.model(classes: 63, card: card), on: CPUBackend(.init(threads: 1)))
    let process = try model.process(variance: .fixedSmall, limit: .clip())
    let glyphs = try model.openData("glyphs", split: .test)
    let classes = try #require(try model.classNumbers(of: glyphs))
    let run = BoundRun(
      VariationalBound(process), denoiser: try model.denoiser(batchSize: 20), seed: 1, batchSize: 20)
    var (given, without) = (BoundStatistics(T: 20), BoundStatistics(T: 20))
    try run(&given, upTo: 3, image: { try glyphs.evaluationImage($0, classes: classes) })
    try run(&without, upTo: 3, image: { try glyphs.evaluationImage($0, classes: classes).withoutClass })
    let subject = EvaluationSubject(
      model: "m", data: "d", split: .test, variance: .fixedSmall, limit: .clip(), seed: 1, timesteps: 20, T: 20)
    let report = ConditionalLikelihoodReport(
      given: LikelihoodReport(subject, given), without: LikelihoodReport(subject, without))
    #expect(given != without)
    #expect(report.gaps == zip(given.images, without.images).map { $1.total - $0.total })
    let object = try #require(report.json.object)
    #expect(object["bits_per_dim"]?.double == given.total.mean)
    #expect(object["no_class"]?.object?["bits_per_dim"]?.double == without.total.mean)
    let gap = try #require(object["gap_bits_per_dim"]?.double)
    #expect(abs(gap - (without.total.mean - given.total.mean)) < 1e-12)
    #expect(zip(given.images, without.images).allSatisfy { $0.prior == $1.prior })
    #expect(report.plot.plots.count == 2)
  }
}
