import Diffusion
import Platform
import TestSupport
import Testing

@Suite struct ExactTests {
  struct Golden: Decodable {
    struct Mixture: Decodable {
      struct Case: Decodable {
        let abar: Double, x: [Double], logDensity: Double, score, mean: [Double], variance: Double,
          responsibilities: [Double]
      }
      let weights, means, covariances: [Double], dimension: Int, cases: [Case]

      func data(_ covariance: (Int) -> GaussianMixture.Covariance) throws -> GaussianMixture {
        try GaussianMixture(
          weights.indices.map { k in
            .init(
              weight: weights[k], mean: Array(means[k * dimension..<(k + 1) * dimension]), covariance: covariance(k),
              label: k)
          })
      }
    }
    struct Points: Decodable {
      struct Case: Decodable {
        let abar: Double, x: [Double], logDensity: Double, mean: [Double], variance, entropy: Double, classes: [Double]
      }
      let points: [Double], labels: [Int], dimension: Int, cases: [Case]
    }
    struct TwoPoints: Decodable {
      struct Row: Decodable { let abar, entropy, mmse, fisher: Double }
      let m, s2: Double, rows: [Row]
    }
    let mixtures: [Mixture], points: [Points], twoPoints: [TwoPoints]
  }

  let known: Golden

  init() throws { known = try golden("exact.json") }

  @Test func mixturesMatchNumpy() throws {
    var worst = (density: 0.0, score: 0.0, mean: 0.0, variance: 0.0, tweedie: 0.0)
    for mixture in known.mixtures {
      let d = mixture.dimension
      let data = try mixture.data { .full(Array(mixture.covariances[$0 * d * d..<($0 + 1) * d * d])) }
      for row in mixture.cases {
        let marginal = data.marginal(alphaBar: row.abar)
        let posterior = marginal.posterior(of: row.x)
        worst.density = max(
          worst.density, abs(marginal.logDensity(row.x) - row.logDensity), abs(posterior.logDensity - row.logDensity))
        worst.score = max(worst.score, relativeL2(marginal.score(row.x), row.score))
        worst.mean = max(worst.mean, relativeL2(posterior.mean, row.mean))
        worst.variance = max(worst.variance, abs(posterior.variance - row.variance) / row.variance)
        worst.tweedie = max(worst.tweedie, relativeL2(posterior.score(of: row.x, alphaBar: row.abar), row.score))
        #expect(relativeL2(marginal.responsibilities(row.x), row.responsibilities) < 1e-9)
        #expect(relativeL2(posterior.classes, row.responsibilities) < 1e-9)
        let entropy = row.responsibilities.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
        #expect(abs(posterior.causeEntropy - entropy) < 1e-9)
      }
    }
    expect(worst.density, atMost: 1e-11, "mixture, ln q_t against scipy")
    expect(worst.score, atMost: 1e-10, "mixture, score against numpy")
    expect(worst.mean, atMost: 1e-10, "mixture, E[x_0 | x_t] against numpy")
    expect(worst.variance, atMost: 1e-9, "mixture, Var(x_0 | x_t) against numpy")
    expect(worst.tweedie, atMost: 1e-9, "mixture, Tweedie's formula")
  }

  /// The special cases are the general one.
  @Test func covariancesAgree() throws {
    let mixture = try #require(known.mixtures.first { $0.dimension == 2 })
    let pairs: [(GaussianMixture.Covariance, GaussianMixture.Covariance)] = [
      (.isotropic(0.3), .full([0.3, 0, 0, 0.3])), (.diagonal([0.3, 0.1]), .full([0.3, 0, 0, 0.1])),
    ]
    for (special, full) in pairs {
      let (a, b) = (try mixture.data { _ in special }, try mixture.data { _ in full })
      // One of each kind together, too.
      let mixed = try mixture.data { $0 == 1 ? full : special }
      for row in mixture.cases {
        let x = row.x
        for other in [b, mixed] {
          let (p, q) = (a.posteriors(of: x, alphaBar: row.abar)[0], other.posteriors(of: x, alphaBar: row.abar)[0])
          #expect(abs(p.logDensity - q.logDensity) < 1e-12 && relativeL2(p.mean, q.mean) < 1e-12)
          #expect(abs(p.variance - q.variance) < 1e-12)
          #expect(
            relativeL2(a.marginal(alphaBar: row.abar).score(x), other.marginal(alphaBar: row.abar).score(x)) < 1e-12)
        }
      }
      #expect(abs(a.secondMoment - b.secondMoment) < 1e-12)
    }
  }

  @Test func pointsMatchNumpy() throws {
    var worst = (density: 0.0, mean: 0.0, variance: 0.0, entropy: 0.0, classes: 0.0)
    for set in known.points {
      let n = set.labels.count
      let images = Images(shape: .init(n, set.dimension, 1, 1), scalars: set.points.map { Float($0) })
      for block in [1, 7, n] {
        let data = EmpiricalData(images, labels: set.labels, block: block)
        for row in set.cases {
          let posterior = data.posteriors(of: row.x, alphaBar: row.abar)[0]
          worst.density = max(worst.density, abs(posterior.logDensity - row.logDensity))
          worst.mean = max(worst.mean, relativeL2(posterior.mean, row.mean))
          worst.variance = max(worst.variance, abs(posterior.variance - row.variance))
          worst.entropy = max(worst.entropy, abs(posterior.causeEntropy - row.entropy))
          worst.classes = max(worst.classes, zip(posterior.classes, row.classes).map { abs($0 - $1) }.max() ?? 0)
        }
        // All at once is one by one.
        let rows = set.cases.filter { $0.abar == 0.5 }
        let together = data.posteriors(of: rows.flatMap(\.x), alphaBar: 0.5)
        for (one, row) in zip(together, rows) {
          #expect(one.mean == data.posteriors(of: row.x, alphaBar: 0.5)[0].mean)
        }
      }
    }
    // 37 dimensions: two thirds of the distance are summed in Float.
    expect(worst.density, atMost: 1e-4, "empirical, ln q_t against numpy")
    expect(worst.mean, atMost: 1e-5, "empirical, E[x_0 | x_t] against numpy")
    expect(worst.variance, atMost: 1e-4, "empirical, Var(x_0 | x_t) against numpy")
    expect(worst.entropy, atMost: 1e-4, "empirical, H(i | x_t) against numpy")
    expect(worst.classes, atMost: 1e-5, "empirical, P(c | x_t) against numpy")
  }

  /// A point set is the mixture of as many components without width.
  @Test func pointsAreAMixture() throws {
    let points = normals(.init(30, 2, 1, 1), seed: 3)
    let set = EmpiricalData(points)
    let mixture = try GaussianMixture(
      (0..<30).map { .init(mean: points[sample: $0].doubles, covariance: .isotropic(0)) })
    for ᾱ in [0.9999, 0.5, 0.0] {
      let x = [0.3, -0.4]
      let (a, b) = (set.posteriors(of: x, alphaBar: ᾱ)[0], mixture.posteriors(of: x, alphaBar: ᾱ)[0])
      #expect(abs(a.logDensity - b.logDensity) < 1e-9 && relativeL2(a.mean, b.mean) < 1e-9)
      #expect(abs(a.variance - b.variance) < 1e-9 && abs(a.causeEntropy - b.causeEntropy) < 1e-9)
    }
  }

  /// However processors share the x_t, each says what it says alone.
  @Test func processorsChangeNothing() {
    let set = EmpiricalData(normals(.init(3000, 20, 1, 1), seed: 4), labels: (0..<3000).map { $0 % 3 })
    // 3000 · 20 · 23 is enough to be shared.
    let xt = normals(.init(23, 20, 1, 1), seed: 5).doubles
    let classes = (0..<23).map { $0 % 4 == 3 ? nil : $0 % 4 }
    let all = set.posteriors(of: xt, alphaBar: 0.4, classes: classes)
    #expect(all.count == 23)
    for n in 0..<23 {
      let one = set.posteriors(of: Array(xt[n * 20..<(n + 1) * 20]), alphaBar: 0.4, classes: [classes[n]])[0]
      #expect(all[n].logDensity == one.logDensity && all[n].mean == one.mean && all[n].classes == one.classes)
    }
  }

  /// A batch at mixed t, whatever is predicted, says the same E[x_0 | x_t].
  @Test(arguments: Prediction.allCases) func predictionsSayTheSame(_ prediction: Prediction) throws {
    let schedule = try NoiseSchedule()
    let mixture = try #require(known.mixtures.first { $0.dimension == 2 })
    let data = try mixture.data { _ in .isotropic(0.05) }
    let denoiser = ExactDenoiser(data, schedule: schedule, prediction: prediction, predictsVariance: true)
    let t: [Timestep] = [700, 2, 700, 100, 999]
    let xt = normals(.init(5, 2, 1, 1), seed: 1)
    let output = try denoiser.predict(xt, at: t)
    #expect(output.shape == .init(5, 4, 1, 1))
    let process = try ReverseProcess(schedule: schedule, prediction: prediction, variance: .learned, limit: .none)
    for n in t.indices {
      let exact = data.posteriors(of: xt[sample: n].doubles, alphaBar: schedule.ᾱ[t[n]])[0]
      let read = process.denoised(output[sample: n], xt: xt[sample: n], at: t[n])
      // What Float loses in dividing by √ᾱ.
      let bound = 1e-6 / schedule.sqrtᾱ[t[n]] * (prediction == .mean ? 1 / schedule.posterior(t[n]).x0Coefficient : 1)
      for i in 0..<2 { #expect(abs(read.x0.doubles[i] - exact.mean[i]) < bound + 1e-6, "t = \(t[n])") }
      let σ² = exp(Double(read.variance?.scalars[0] ?? 0))
      #expect(σ² > schedule.posteriorVariance(t[n]))
    }
  }

  /// Data of a class is the data that is left when the other classes are taken out.
  @Test func classesAreParts() throws {
    typealias Component = GaussianMixture.Component
    let components = [
      Component(weight: 2, mean: [1, 0], covariance: .isotropic(0.2), label: 0),
      Component(weight: 1, mean: [-1, 1], covariance: .diagonal([0.1, 0.3]), label: 1),
      Component(weight: 3, mean: [0, 2], covariance: .isotropic(0), label: 0),
    ]
    let mixture = try GaussianMixture(components)
    let points = normals(.init(20, 2, 1, 1), seed: 1)
    let set = EmpiricalData(points, labels: (0..<20).map { $0 % 3 == 0 ? 0 : 1 }, block: 4)
    let x = normals(.init(3, 2, 1, 1), seed: 2).doubles
    func expectSame(_ whole: some KnownData, _ part: some KnownData, _ label: Int) {
      let mixed = whole.posteriors(of: x, alphaBar: 0.6, classes: [label, nil, label])
      let (alone, all) = (part.posteriors(of: x, alphaBar: 0.6), whole.posteriors(of: x, alphaBar: 0.6))
      for n in 0..<3 {
        let (a, b) = (mixed[n], n == 1 ? all[n] : alone[n])
        #expect(abs(a.logDensity - b.logDensity) < 1e-12 && relativeL2(a.mean, b.mean) < 1e-12)
        #expect(abs(a.variance - b.variance) < 1e-12 && abs(a.causeEntropy - b.causeEntropy) < 1e-12)
        if n != 1 { #expect(abs(a.classes[label] - 1) < 1e-12) }
      }
    }
    for label in 0..<2 {
      expectSame(mixture, try GaussianMixture(components.filter { $0.label == label }), label)
      let members = (0..<20).filter { ($0 % 3 == 0 ? 0 : 1) == label }
      expectSame(set, EmpiricalData(Images(joining: members.map { points[sample: $0] })), label)
    }
    let schedule = try NoiseSchedule()
    let (xt, t) = (normals(.init(1, 2, 1, 1), seed: 3), [Timestep(300)])
    let denoiser = ExactDenoiser(mixture, schedule: schedule)
    #expect(try denoiser.predict(xt, at: t, given: .classes([1])) != denoiser.predict(xt, at: t))
    #expect(try denoiser.predict(xt, at: t, given: .classes([nil])) == denoiser.predict(xt, at: t))
    #expect(throws: ExactDenoiserError.unknownClass(2, known: 2)) {
      try denoiser.predict(xt, at: t, given: .classes([2]))
    }
    #expect(throws: ExactDenoiserError.unknownClass(0, known: 0)) {
      try EmpiricalDenoiser(EmpiricalData(points), schedule: schedule).predict(xt, at: t, given: .classes([0]))
    }
    #expect(throws: ExactDenoiserError.pictures) {
      try denoiser.predict(xt, at: t, given: Condition(pictures: xt))
    }
  }

  @Test func samplesHaveTheMoments() throws {
    let data = try GaussianMixture([
      .init(weight: 3, mean: [1, 0], covariance: .full([0.5, 0.2, 0.2, 0.3]), label: 0),
      .init(weight: 1, mean: [-2, 1], covariance: .isotropic(0.1), label: 1),
    ])
    let (u, z) = (
      CounterNoise(seed: 1, stream: .decoder).uniforms(shape: .init(20_000, 1, 1, 1)),
      normals(.init(20_000, 2, 1, 1), seed: 2)
    )
    let draws = (0..<20_000).map { data.sample(u: Double(u[$0]), z: z[sample: $0].doubles) }
    for i in 0..<2 { #expect(abs(moments(draws.map { $0.x[i] }).mean - data.mean[i]) < 0.05) }
    let square = draws.reduce(0.0) { sum, draw in sum + draw.x[0] * draw.x[0] + draw.x[1] * draw.x[1] } / 20_000
    #expect(abs(square - data.secondMoment) < 0.1)
    #expect(abs(Double(draws.filter { $0.component == 0 }.count) / 20_000 - 0.75) < 0.02)
    // From the sample's own covariance within the first component: 0.2 off the diagonal.
    let first = draws.filter { $0.component == 0 }
    let covariance = first.reduce(0.0) { sum, draw in sum + (draw.x[0] - 1) * draw.x[1] } / Double(first.count)
    #expect(abs(covariance - 0.2) < 0.02)
  }

  @Test func badMixturesAreErrors() {
    typealias Component = GaussianMixture.Component
    let cases: [([Component], GaussianMixtureError)] = [
      ([], .empty), ([Component(mean: [], covariance: .isotropic(1))], .empty),
      (
        [Component(mean: [0], covariance: .isotropic(1)), Component(mean: [0, 1], covariance: .isotropic(1))],
        .dimension(2, 1, wanted: 1)
      ),
      ([Component(weight: -1, mean: [0], covariance: .isotropic(1))], .weight(-1, 0)),
      ([Component(mean: [0, 0], covariance: .diagonal([1]))], .covariance(1, 0, wanted: 2)),
      ([Component(mean: [0], covariance: .isotropic(-1))], .variance(-1, 0)),
      ([Component(mean: [0], covariance: .isotropic(1), label: -1)], .label(-1, 0)),
    ]
    for (components, error) in cases {
      #expect(throws: error) { try GaussianMixture(components) }
      #expect(!error.description.contains("\n"))
    }
    #expect(throws: GaussianMixtureError.self) {
      try GaussianMixture([Component(mean: [0, 0], covariance: .full([1, 2, 2, 1]))])
    }
  }
}
