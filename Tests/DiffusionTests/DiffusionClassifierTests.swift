import Diffusion
import Platform
import TestSupport
import Testing

@Suite struct DiffusionClassifierTests {
  let data: ClassMixture
  let bound: VariationalBound

  init() throws {
    let schedule = try NoiseSchedule(T: 50, rescaled: true)
    data = ClassMixture(schedule: schedule, means: [-0.6, 0, 0.6], learnsVariance: true)
    bound = VariationalBound(
      try ReverseProcess(schedule: schedule, variance: .learned, limit: .none), decoder: .density)
  }

  /// L(c) − L_T of one image, term by term, for the noise that `noise` gives at each t.
  private func terms(_ x0: Images, given c: Int?, noise: (Timestep) -> Images) -> [VariationalBound.Term] {
    let t = data.schedule.timesteps
    let (all, ε) = (Images(joining: t.map { _ in x0 }), Images(joining: t.map(noise)))
    let xt = ForwardProcess(data.schedule).noised(all, at: t, epsilon: ε)
    return bound.terms(
      all, epsilon: ε, output: data.predict(xt, at: t, given: .classes(t.map { _ in c })), at: t)
  }

  /// Their sum, in nats of the whole image.
  private func nats(_ x0: Images, given c: Int?, noise: (Timestep) -> Images) -> Double {
    terms(x0, given: c, noise: noise).reduce(0) { $0 + $1.nats } * Double(x0.shape.dimension)
  }

  /// For Gaussian classes the bound is −ln p(x_0 | c) in the mean, so its posterior is Bayes'.
  @Test(arguments: [-0.8, -0.25, 0.1, 0.4]) func posteriorIsBayesRule(_ x: Double) {
    let x0 = Images(shape: .init(1, 1, 1, 2), scalars: [Float(x), Float(x + 0.1)])
    let exact = data.classes(x0.doubles, at: .data)
    // The terms are quadratic in ε, and these six values have the first five moments of N(0, 1).
    let values = [0, 0, 0, 0, 3.0.squareRoot(), -3.0.squareRoot()]
    let result = DiffusionClassifier([.init(trials: 6, keep: 1)])(classes: 3) { trials, classes in
      classes.map { c in
        trials.map { trial in nats(x0, given: c) { _ in Images(repeating: Float(values[trial]), shape: x0.shape) } }
      }
    }
    let found = DiffusionClassifier.posterior(nats: result.means)
    for c in 0..<3 { #expect(abs(found[c] - exact[c]) < 1e-3, "\(found), \(exact)") }
    #expect(result.best == exact.firstIndex(of: exact.max() ?? 0))
    #expect(result.trials == [6, 6, 6])
    // Unequal classes: p(c) weighs in.
    let prior = [0.2, 0.5, 0.3]
    let weighed = DiffusionClassifier.posterior(nats: [1, 2, 3], prior: prior)
    let sum = zip(prior, [1.0, 2, 3]).reduce(0) { $0 + $1.0 * exp(-$1.1) }
    for c in 0..<3 { #expect(abs(weighed[c] - prior[c] * exp(-Double(c + 1)) / sum) < 1e-12) }
    #expect(DiffusionClassifier.posterior(nats: [5000, 5000]) == [0.5, 0.5])
  }

  /// The worst leave after each stage, and are not asked again; the choice stays the same.
  @Test func theWorstLeaveEarly() {
    let stages: [DiffusionClassifier.Stage] = [
      .init(trials: 3, keep: 2), .init(trials: 4, keep: 2), .init(trials: 5, keep: 1),
    ]
    var right = 0
    for i in 0..<20 {
      let x0 = Images(
        shape: .init(1, 1, 1, 4), scalars: normals(.init(1, 1, 1, 4), seed: UInt64(i)).scalars.map { 0.6 + 0.5 * $0 })
      var asked: [(Range<Int>, [Int])] = []
      let result = DiffusionClassifier(stages)(classes: 3) { trials, classes in
        asked.append((trials, classes))
        return classes.map { c in
          trials.map { trial in
            let noise = CounterNoise(seed: 3, firstSample: trial, stream: .evaluation)
            return nats(x0, given: c) { noise.stepNoise(leaving: $0, shape: x0.shape) }
          }
        }
      }
      let exact = data.classes(x0.doubles, at: .data)
      if result.best == exact.firstIndex(of: exact.max() ?? 0) { right += 1 }
      #expect(asked.map(\.0) == [0..<3, 3..<7, 7..<12] && asked.map(\.1.count) == [3, 2, 2])
      #expect(Set(asked[2].1).isSubset(of: Set(asked[0].1)) && asked[2].1.contains(result.best))
      #expect(result.trials.sorted() == [3, 12, 12])
    }
    #expect(right >= 18)
    // Of equals the first.
    #expect(
      DiffusionClassifier([.init(trials: 1, keep: 1)])(classes: 3) { _, classes in classes.map { _ in [1] } }.best == 0)
  }

  /// What a class tells of x_0, against ln p(x_0 | c) − ln p(x_0), x_0 and ε from the five points of Gauss and Hermite.
  @Test func conditionalGapIsTheInformation() {
    let points: [(z: Double, weight: Double)] = [
      (0, 0.533_333), (1.355_626, 0.222_076), (-1.355_626, 0.222_076), (2.856_970, 0.011_257), (-2.856_970, 0.011_257),
    ]
    var (found, exact) = (0.0, 0.0)
    for c in 0..<3 {
      for (z, weight) in points {
        let x0 = Images(repeating: Float(data.means[c] + 0.5 * z), shape: .init(1, 1, 1, 1))
        for ε in points {
          let noise = { (_: Timestep) in Images(repeating: Float(ε.z), shape: x0.shape) }
          let gap = VariationalBound.conditionalGap(
            given: terms(x0, given: c, noise: noise), without: terms(x0, given: nil, noise: noise))
          found += weight * ε.weight * gap / 3
        }
        let nats = data.logDensity(x0.doubles, at: .data, given: c) - data.logDensity(x0.doubles, at: .data, given: nil)
        exact += weight * nats / log(2.0) / 3
      }
    }
    expect(abs(found - exact), atMost: 1e-3, "conditional gap, bits: \(found) and \(exact)")
    #expect(exact > 0.3)
    // Drawn t stand for several.
    let x0 = Images(repeating: 0.5, shape: .init(1, 1, 1, 1))
    let (given, without) = (terms(x0, given: 2) { _ in x0 }, terms(x0, given: nil) { _ in x0 })
    let first = without[0].bits - given[0].bits
    let all = VariationalBound.conditionalGap(given: given, without: without)
    let weighed = VariationalBound.conditionalGap(
      given: given, without: without, weights: given.map { $0.t == 1 ? 1 : 10 })
    #expect(abs(weighed - first - 10 * (all - first)) < 1e-12)
  }
}
