import CPUBackend
import DDPM
import Datasets
import Diffusion
import Files
import Platform
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct EvaluationBoundTests {
  /// The terms as the command measures them, with given noise and predictions, against the reference's.
  @Test(.needsShared, arguments: [ReverseVariance.fixedSmall, .fixedLarge], [false, true])
  func termsMatchReference(_ variance: ReverseVariance, _ clips: Bool) throws {
    let json = try JSONValue(parsing: FileBytes.read(SharedFiles.url("reference/bound.json").path, limit: 1 << 30))
    func numbers(_ key: String) throws -> [Double] { try #require(json.object?[key]?.array).compactMap(\.double) }
    let file = try MiniSafetensors(SharedFiles.url("reference/bound.safetensors"))
    let shape = Images.Shape(8, 3, 8, 8)
    let x0 = Images(shape: shape, scalars: try file.floats("x0"))
    let ε = Images(shape: shape, scalars: try file.floats("noise"))
    let predicted = Images(shape: shape, scalars: try file.floats("predicted_noise"))
    let t = try numbers("t").map { Timestep(Int($0)) }

    let process = try ReverseProcess(schedule: NoiseSchedule(), variance: variance, limit: clips ? .clip() : .none)
    let run = BoundRun(
      VariationalBound(process), denoiser: DenoiserFunction { _, _ in predicted }, seed: 0, batchSize: 8)
    let terms = try run.terms(x0: x0, ε: ε, at: t)
    let bits = try numbers("\(variance.rawValue)/clip=\(clips)")
    #expect(terms.count == 8 && bits.count == 8)
    for (term, wanted) in zip(terms, bits) {
      #expect(abs(term.bits / wanted - 1) < 1e-5, "t = \(term.t): \(term.bits), \(wanted)")
    }
    let (priors, wantedPriors) = (run.bound.prior(x0), try numbers("prior"))
    #expect(priors.count == 8 && wantedPriors.count == 8)
    for (nats, wanted) in zip(priors, wantedPriors) {
      #expect(abs(nats / log(2.0) / wanted - 1) < 1e-5)
    }
  }

  /// The best denoiser of Gaussian data gives the entropy, within what the standard error allows; also where few t are drawn.
  @Test(arguments: [(nil, 0.015), (12, 0.02), (4, 0.06)])
  func optimumGivesTheAnalyticBound(timesteps: Int?, largestError: Double) throws {
    let schedule = try NoiseSchedule(T: 40, rescaled: true)
    let optimum = GaussianOptimum(schedule: schedule)
    let run = try BoundRun(
      optimum.bound(), denoiser: optimum, visits: TimestepVisits(T: 40, count: timesteps), seed: 1, batchSize: 64)
    var statistics = BoundStatistics(T: 40)
    try run(&statistics, upTo: 1000, image: optimum.image)
    let total = statistics.total
    #expect(abs(total.mean - optimum.bits) < 3 * total.standardError, "\(total.mean), \(optimum.bits)")
    #expect(total.standardError < largestError, "\(total.standardError)")
    #expect(statistics.images.count == 1000)
  }

  /// A worse denoiser costs bits: the test above can fail.
  @Test func aFlawCostsBits() throws {
    let optimum = GaussianOptimum(schedule: try NoiseSchedule(T: 40, rescaled: true), flaw: 0.2)
    var statistics = BoundStatistics(T: 40)
    try BoundRun(optimum.bound(), denoiser: optimum, seed: 1, batchSize: 64)(
      &statistics, upTo: 300, image: optimum.image)
    #expect(statistics.total.mean > optimum.bits + 3 * statistics.total.standardError)
  }

  /// The errors of the best denoiser give the information, the entropy and the divergence that the Gaussian has, also where only a part of
  /// the timesteps was drawn.
  @Test(arguments: [nil, 40]) func errorsAreThermodynamics(timesteps: Int?) throws {
    let optimum = GaussianOptimum(schedule: try NoiseSchedule(T: 200, rescaled: true))
    let (schedule, m, s²) = (optimum.schedule, optimum.m, optimum.s²)
    var statistics = BoundStatistics(T: 200)
    let count = 400
    try BoundRun(
      optimum.bound(), denoiser: optimum, visits: TimestepVisits(T: 200, count: timesteps), seed: 3, batchSize: 64)(
        &statistics, upTo: count, image: optimum.image)
    let axis = PrincipalAxis(dimension: 16) { visit in for i in 0..<count { visit(optimum.image(i).x0) } }
    let subject = EvaluationSubject(
      model: "m", data: "d", split: nil, variance: .learned, limit: .none, seed: 3, timesteps: timesteps ?? 200, T: 200)
    let report = try ThermodynamicsReport(
      subject, statistics, process: optimum.bound().process, axis: axis, count: 1000, isPixels: false)
    #expect(report.rows.count == 200)
    for row in report.rows where row.t.number % 20 == 1 {
      // v = ᾱ s² + 1 − ᾱ; D = 16
      let ᾱ = schedule.ᾱ[row.t]
      let v = ᾱ * s² + 1 - ᾱ
      let information = 8 * log1p(schedule.snr[row.t] * s²)
      let divergence = 8 * (v + ᾱ * m * m - 1 - log(v))
      // Both of the sampled errors and of the sampled variance.
      #expect(abs(row.information.estimate.value - information) < 0.03 * information + 0.01, "t = \(row.t)")
      #expect(abs(row.divergence.value - divergence) < 0.04 * information + 0.02, "t = \(row.t)")
      let fisher = row.fisherInformation
      #expect(abs(fisher.value - 16 / v) < 4 * fisher.error, "t = \(row.t): \(fisher), \(16 / v)")
    }
    // 8 ln(1 + γ s²) = ln 1000
    let expected = try #require(schedule.timestep(whereSNR: Regimes.collapse(count: 1000, dimension: 16, variance: s²)))
    #expect(abs((report.collapse ?? 0) - expected) < 2, "\(report.collapse ?? 0), \(expected)")
    let table = report.json.object?["per_timestep"]?.object
    for key in ["t", "entropy", "divergence_standard_error", "production"] {
      #expect(table?[key]?.array?.count == 200, "\(key)")
    }
    #expect(report.dissipation.count == 200 && report.dissipation.allSatisfy { $0 >= 0 })
    // Steps telescope to KL(q_1 ‖ π) − KL(q_T ‖ π), and the first adds its own.
    let sum = report.dissipation.dropFirst().reduce(0, +)
    #expect(abs(sum - report.rows[0].divergence.value + report.rows[199].divergence.value) < 1e-6 * abs(sum) + 1e-3)
    // Nothing beats the best levels, and none is missing.
    for choices in report.spacings.choices {
      let best = try #require(choices.last)
      #expect(best.spacing == "best" && choices.count == 6)
      for choice in choices { #expect(best.bits <= choice.bits + 1e-12, "\(choice.spacing) in \(choice.levels.count)") }
    }
    #expect(report.spacings.choices.map { $0.last?.levels.count } == [5, 10, 20, 50])
  }

  /// The standard errors of the information are what experiments repeated with other images scatter by.
  @Test(arguments: [nil, 10]) func errorsOfInformationAreItsScatter(timesteps: Int?) throws {
    let optimum = GaussianOptimum(schedule: try NoiseSchedule(T: 60, rescaled: true))
    let process = try optimum.bound().process
    let axis = PrincipalAxis(dimension: 16) { visit in for i in 0..<500 { visit(optimum.image(i).x0) } }
    let subject = EvaluationSubject(
      model: "m", data: "d", split: nil, variance: .learned, limit: .none, seed: 3, timesteps: timesteps ?? 60, T: 60)
    let reports = try (0..<40).map { k in
      var statistics = BoundStatistics(T: 60)
      try BoundRun(
        optimum.bound(), denoiser: optimum, visits: TimestepVisits(T: 60, count: timesteps), seed: UInt64(k),
        batchSize: 64)(&statistics, upTo: 40) { optimum.image(40 * k + $0) }
      return try ThermodynamicsReport(
        subject, statistics, process: process, axis: axis, count: nil, isPixels: false)
    }
    for t in [2, 10, 30] {
      let estimates = reports.map(\.rows[t - 1].information.estimate)
      let scatter = Moments(estimates.map(\.value))
      let spread = scatter.standardError * Double(scatter.count).squareRoot()
      let claimed = estimates.reduce(0) { $0 + $1.error } / Double(estimates.count)
      // A spread of 40 is known to 11%; where only some t are visited, the error is an upper bound.
      let most = timesteps == nil ? 1.6 : 10
      #expect((0.6...most).contains(claimed / spread), "t = \(t): \(claimed), \(spread)")
    }
  }

  @Test(arguments: [(1, 1), (2, 2), (10, 2), (10, 10), (1000, 2), (1000, 50), (1000, 999), (1000, 1000), (4000, 250)])
  func strataCoverEveryTimestepOnce(_ T: Int, _ count: Int) throws {
    let visits = try TimestepVisits(T: T, count: count)
    #expect(visits.count == count)
    #expect(visits.isComplete == (count == T))
    var seen = Set<Timestep>()
    for image in 0..<200 {
      let drawn = visits(image: image, seed: 9)
      #expect(drawn.reduce(0) { $0 + $1.weight } == Double(T))
      #expect(drawn.last?.t == 1 && drawn.last?.weight == 1)
      #expect(zip(drawn, drawn.dropFirst()).allSatisfy { $0.t > $1.t })
      #expect(drawn == visits(image: image, seed: 9))
      seen.formUnion(drawn.map(\.t))
    }
    if count == T { #expect(seen.count == T) }
  }

  @Test(arguments: [(1, 0), (1, 2), (10, 1), (10, 11), (10, -3)])
  func otherCountsAreRefused(_ T: Int, _ count: Int) {
    #expect(throws: EvaluationError.timesteps(count, T: T)) { try TimestepVisits(T: T, count: count) }
  }

  /// Σ w f(t) over drawn t is Σ f(t) in the mean.
  @Test(arguments: [2, 5, 20]) func drawingTimestepsIsUnbiased(count: Int) throws {
    let visits = try TimestepVisits(T: 200, count: count)
    func f(_ t: Timestep) -> Double { 1 / Double(t.number) + 0.001 * Double(t.number % 7) }
    let exact = (1...200).reduce(0) { $0 + f(Timestep($1)) }
    let estimates = Moments((0..<20_000).map { visits(image: $0, seed: 4).reduce(0) { $0 + $1.weight * f($1.t) } })
    #expect(abs(estimates.mean - exact) < 4 * estimates.standardError, "\(estimates.mean), \(exact)")
  }

  /// The estimate of the same images agrees with the full bound, and errs no more than it says.
  @Test(arguments: [4, 10]) func estimateAgreesWithTheFullBound(count: Int) throws {
    let schedule = try NoiseSchedule(T: 100, rescaled: true)
    let bound = VariationalBound(try ReverseProcess(schedule: schedule, variance: .fixedSmall))
    let source = GaussianOptimum(schedule: schedule)
    func total(_ visits: TimestepVisits, seed: UInt64) throws -> Moments {
      var statistics = BoundStatistics(T: 100)
      try BoundRun(
        bound, denoiser: SimpleDenoiser(schedule: schedule), visits: visits, seed: seed, batchSize: 50)(
          &statistics, upTo: 60, image: source.image)
      return statistics.total
    }
    let full = try total(TimestepVisits(T: 100), seed: 0)
    let estimates = try (1...20).map { try total(TimestepVisits(T: 100, count: count), seed: $0) }
    for estimate in estimates { #expect(abs(estimate.mean - full.mean) < 4 * estimate.standardError) }
    let mean = Moments(estimates.map(\.mean))
    // Many estimates of the same images: what is left is the chance of t and ε.
    #expect(abs(mean.mean - full.mean) < 4 * mean.standardError + 0.02 * abs(full.mean))
  }

  /// Student's 97.5% points, from any table.
  @Test(arguments: [
    (1, 12.7062), (2, 4.30265), (3, 3.18245), (5, 2.57058), (9, 2.26216), (30, 2.04227), (1000, 1.96234),
  ])
  func confidenceIsStudents(_ degrees: Int, _ wanted: Double) {
    let moments = Moments((0...degrees).map { Double($0 * $0 % 7) })
    let factor = moments.confidence95 / moments.standardError
    #expect(abs(factor / wanted - 1) < (degrees < 6 ? 0.006 : 2e-4), "\(factor)")
  }

  @Test func momentsAreThoseOfTheList() {
    let values = (0..<100).map { 1e6 + sin(Double($0)) }
    let moments = Moments(values)
    let mean = values.reduce(0, +) / 100
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 99
    #expect(abs(moments.mean - mean) < 1e-9)
    #expect(abs(moments.standardError / (variance / 100).squareRoot() - 1) < 1e-9)
    #expect(Moments([1]).standardError.isNaN)
  }

  /// Each pair of neighbours on a trajectory is a step of q, and each x_t has q(x_t | x_0).
  @Test func trajectoryIsTheForwardProcess() throws {
    let schedule = try NoiseSchedule(T: 30, rescaled: true)
    let x0 = Images(repeating: 0.4, shape: .init(1, 1, 32, 32))
    var seen: [Int: Images] = [:]
    let denoiser = DenoiserFunction { xt, t in
      for n in t.indices { seen[t[n].number] = xt[sample: n] }
      return xt
    }
    var statistics = BoundStatistics(T: 30)
    let run = BoundRun(
      VariationalBound(try ReverseProcess(schedule: schedule)), denoiser: denoiser, path: .trajectory, seed: 2,
      batchSize: 7)
    try run(&statistics, upTo: 1) { _ in EvaluationImage(x0: x0) }
    for t in 1...30 {
      let (x, level) = (try #require(seen[t]), schedule.level(Timestep(t)))
      let ε = Moments(level.epsilon(x0: x0, xt: x).scalars.map(Double.init))
      #expect(abs(ε.mean) < 4 / 32, "t = \(t)")
      #expect(abs(ε.squares / 1024 - 1) < 4 * (2.0 / 1024).squareRoot(), "t = \(t)")
      guard t > 1, let before = seen[t - 1] else { continue }
      // (x_t − √(1−β) x_{t−1}) / √β ~ N(0, 1), and independent of x_{t−1}
      let β = schedule.β[Timestep(t)]
      let step = (x - (1 - β).squareRoot() * before) / β.squareRoot()
      let z = Moments(step.scalars.map(Double.init))
      #expect(abs(z.mean) < 4 / 32, "t = \(t)")
      #expect(abs(z.squares / 1024 - 1) < 4 * (2.0 / 1024).squareRoot(), "t = \(t)")
    }
  }

  /// What is sent at the end is the bound, whichever way the noise was drawn.
  @Test func rateEndsAtTheBound() throws {
    let schedule = try NoiseSchedule(T: 40, rescaled: true)
    let optimum = GaussianOptimum(schedule: schedule)
    var statistics = BoundStatistics(T: 40)
    let run = try BoundRun(optimum.bound(), denoiser: optimum, path: .trajectory, seed: 3, batchSize: 33)
    try run(&statistics, upTo: 600, image: optimum.image)
    #expect(abs(statistics.total.mean - optimum.bits) < 4 * statistics.total.standardError)
    let subject = EvaluationSubject(
      model: "optimum", data: "Gaussian", split: nil, variance: .learned, limit: .none, seed: 3, timesteps: 40, T: 40)
    let points = RateDistortionReport(subject, statistics).points
    #expect(points.map(\.t.number) == (1...40).reversed())
    #expect(points.map(\.reverseSteps) == Array(0..<40))
    #expect(zip(points, points.dropFirst()).allSatisfy { $0.rate < $1.rate })
    #expect(abs(points[0].rate - statistics.prior.mean) < 1e-12)
    #expect(abs(points[39].rate + statistics.reconstruction.mean - statistics.total.mean) < 1e-12)
    // E‖x_0 − x̂_0‖²/D = Var(x_0 | x_t) = s² (1−ᾱ) / (ᾱ s² + 1−ᾱ)
    for point in points {
      let ᾱ = schedule.ᾱ[point.t]
      let wanted = 127.5 * (optimum.s² * (1 - ᾱ) / (ᾱ * optimum.s² + 1 - ᾱ)).squareRoot()
      #expect(abs(point.rmse - wanted) < 4 * point.rmseError, "t = \(point.t): \(point.rmse), \(wanted)")
    }
  }

  @Test func aBrokenNetworkIsNamed() throws {
    let optimum = GaussianOptimum(schedule: try NoiseSchedule(.linear(from: 0.01, to: 0.5), T: 10))
    let broken = DenoiserFunction { xt, t in optimum.predict(xt, at: t, given: .none).map { _ in .nan } }
    var statistics = BoundStatistics(T: 10)
    #expect(throws: EvaluationError.self) {
      try BoundRun(optimum.bound(), denoiser: broken, seed: 0, batchSize: 4)(
        &statistics, upTo: 2, image: optimum.image)
    }
    #expect(statistics.images.isEmpty)
  }
}
