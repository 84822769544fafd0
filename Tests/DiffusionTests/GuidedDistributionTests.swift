import Diffusion
import Platform
import Testing

/// What guidance means, where all densities are known: two overlapping classes on the line.
@Suite struct GuidedDistributionTests {
  let schedule: NoiseSchedule
  let data: ClassMixture

  init() throws {
    schedule = try NoiseSchedule()
    data = ClassMixture(schedule: schedule)
  }

  private func image(_ x: Double) -> Images { Images(repeating: Float(x), shape: .init(1, 1, 1, 1)) }

  /// ∇ ln p(x_t | c) = ∇ ln p(x_t) + ∇ ln p(c | x_t), with ∇ ln p(x_t) = −ε/√(1−ᾱ_t) of the best denoiser.
  @Test(arguments: [1, 50, 400, 1000]) func scoresObeyBayes(_ t: Int) {
    let t = Timestep(t)
    for x in [-1.3, -0.2, 0.6, 2] {
      let score = { (c: Int?) in
        -Double(data.predict(image(x), at: [t], given: .classes([c])).scalars[0]) / schedule.sqrtOneMinusᾱ[t]
      }
      for c in [nil, 0, 1] as [Int?] {
        let (x, h) = (Double(Float(x)), 1e-5)
        let slope = (data.logDensity([x + h], at: t, given: c) - data.logDensity([x - h], at: t, given: c)) / (2 * h)
        #expect(abs(score(c) - slope) < 1e-4 * abs(slope) + 1e-5)
      }
      #expect(
        abs(score(1) - score(nil) - data.classScore(Double(Float(x)), at: t, given: 1)) < 1e-4 * abs(score(1)) + 1e-5)
    }
  }

  /// ε_∅ − w √(1−ᾱ_t) ∇ ln p(c | x_t) with the exact classifier is the classifier-free form.
  @Test(arguments: [0.0, 1, 2.5]) func classifierGuidanceIsClassifierFree(_ w: Double) throws {
    let guided = Guided(data, by: .init(scale: w), schedule: schedule)
    for t: Timestep in [1, 50, 400, 1000] {
      for x in [-1.3, -0.2, 0.6, 2] {
        let ε = Double(data.predict(image(x), at: [t], given: .classes([nil])).scalars[0])
        let byClassifier =
          ε - w * schedule.sqrtOneMinusᾱ[t] * data.classScore(Double(Float(x)), at: t, given: 1)
        let free = Double(try guided.predict(image(x), at: [t], given: .classes([1])).scalars[0])
        #expect(abs(free - byClassifier) < 1e-4 * abs(byClassifier) + 1e-5, "t = \(t), x = \(x)")
      }
    }
  }

  /// p(x_0 | c)^w p(x_0)^(1−w) for class 1, on a grid.
  private func tilted(_ w: Double) -> Grid {
    let points = (-4000...4000).map { Double($0) / 1000 }
    return Grid(
      points: points,
      logDensity: points.map {
        w * data.logDensity([$0], at: .data, given: 1) + (1 - w) * data.logDensity([$0], at: .data, given: nil)
      })
  }

  /// The guided score is that of the tilted density at t = 0 only: the noised tilted density has another.
  @Test func guidedScoreIsNotTheTiltedDensitys() throws {
    /// The largest difference of the two ε where the guided samples are.
    func difference(_ w: Double, _ t: Timestep) throws -> Double {
      let guided = Guided(data, by: .init(scale: w), schedule: schedule)
      let density = tilted(w)
      return try [0.2, 0.7, 1.2].map { x in
        let x = image(schedule.sqrtᾱ[t] * x)
        let found = try guided.predict(x, at: [t], given: .classes([1])).doubles[0]
        return abs(found - density.bestNoise(at: x.doubles[0], schedule.level(t)))
      }.max() ?? 0
    }
    #expect(try difference(3, 1) < 0.01)
    #expect(try difference(3, 300) > 0.1)
    // Without exaggeration there is no difference at any t.
    #expect(try difference(1, 300) < 1e-4)
  }

  /// Nor do its samples follow it: the probability-flow ODE carries x_T's quantiles to the quantiles of what is drawn.
  @Test func guidedSamplesAreNotTheTiltedDensitys() throws {
    let count = 40
    let quantiles = (0..<count).map { i -> Float in
      let u = (Double(i) + 0.5) / Double(count)
      var (low, high) = (-8.0, 8.0)
      for _ in 0..<60 {
        let z = (low + high) / 2
        if 0.5 * erfc(-z / 2.0.squareRoot()) < u { low = z } else { high = z }
      }
      return Float(low)
    }
    let start = Images(shape: .init(count, 1, 1, 1), scalars: quantiles)
    let process = try ReverseProcess(schedule: schedule, limit: .none)
    func drawn(_ w: Double) throws -> (mean: Double, variance: Double) {
      var noise = RecordedNoise(initial: start)
      let x = try DDIM().sample(
        shape: start.shape, timesteps: TimestepSpacing.trailing.timesteps(100, of: 1000), process: process,
        denoiser: Guided(data, by: .init(scale: w), schedule: schedule),
        given: .classes(Array(repeating: 1, count: count)), noise: &noise)
      return moments(x.doubles)
    }
    let (plain, conditional) = (try drawn(1), tilted(1))
    #expect(abs(plain.mean - conditional.mean) < 0.02 && abs(plain.variance - conditional.variance) < 0.02)
    let (guided, density) = (try drawn(3), tilted(3))
    #expect(guided.mean > density.mean + 0.1)
  }
}

/// A density on the line.
private struct Grid {
  let points: [Double]
  let masses: [Double]

  init(points: [Double], logDensity: [Double]) {
    let most = logDensity.max() ?? 0
    let all = logDensity.map { exp($0 - most) }
    let sum = all.reduce(0, +)
    self.points = points
    masses = all.map { $0 / sum }
  }

  var mean: Double { zip(points, masses).reduce(0) { $0 + $1.0 * $1.1 } }

  var variance: Double {
    let mean = mean
    return zip(points, masses).reduce(0) { $0 + ($1.0 - mean) * ($1.0 - mean) * $1.1 }
  }

  /// E[ε | x_t] = (x_t − √ᾱ E[x_0 | x_t])/√(1−ᾱ), that is −√(1−ᾱ) times the score of the noised density.
  func bestNoise(at x: Double, _ level: NoiseLevel<Double>) -> Double {
    var (sum, first) = (0.0, 0.0)
    for (point, mass) in zip(points, masses) {
      let z = (x - level.sqrtᾱ * point) / level.sqrtOneMinusᾱ
      let weight = mass * exp(-0.5 * z * z)
      sum += weight
      first += weight * point
    }
    return level.epsilon(x0: first / sum, xt: x)
  }
}
