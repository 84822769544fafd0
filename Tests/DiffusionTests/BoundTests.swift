import Diffusion
import Platform
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct BoundTests {
  enum Field: Decodable {
    case name(String)
    case numbers([Double])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let numbers = try? container.decode([Double].self) {
        self = .numbers(numbers)
      } else {
        self = .name(try container.decode(String.self))
      }
    }

    var numbers: [Double] { if case .numbers(let values) = self { values } else { [] } }
  }

  @Test(.needsShared) func termsMatchReference() throws {
    let reference: [String: Field] = try reference("bound.json")
    let file = try MiniSafetensors(SharedFiles.url("reference/bound.safetensors"))
    let shape = Images.Shape(8, 3, 8, 8)
    let x0 = Images(shape: shape, scalars: try file.floats("x0"))
    let ε = Images(shape: shape, scalars: try file.floats("noise"))
    let output = Images(shape: shape, scalars: try file.floats("predicted_noise"))
    let t = try #require(reference["t"]).numbers.map { Timestep(Int($0)) }
    for variance in [ReverseVariance.fixedSmall, .fixedLarge] {
      for clips in [false, true] {
        let key = "\(variance.rawValue)/clip=\(clips)"
        let bound = try VariationalBound(
          ReverseProcess(schedule: NoiseSchedule(), variance: variance, limit: clips ? .clip() : .none))
        let bits = bound.terms(x0, epsilon: ε, output: output, at: t).map(\.bits)
        expect(maximumRelativeError(bits, try #require(reference[key]).numbers), atMost: 1e-5, "bound.json \(key)")
      }
    }
    let prior = try VariationalBound(ReverseProcess(schedule: NoiseSchedule())).prior(x0).map { $0 / log(2.0) }
    expect(maximumRelativeError(prior, try #require(reference["prior"]).numbers), atMost: 1e-5, "bound.json prior")
  }

  /// The closed form against the integral ∫ p ln(p/q).
  @Test(arguments: [(0.0, 0.0, 0.0, 0.0), (0.3, -1.0, -0.4, 0.7), (2.0, 0.5, 0.0, -0.5)])
  func klMatchesTheIntegral(_ m1: Double, _ v1: Double, _ m2: Double, _ v2: Double) {
    let logDensity = { (x: Double, m: Double, v: Double) in
      -0.5 * (log(2 * Double.pi) + v + (x - m) * (x - m) * exp(-v))
    }
    let (n, width) = (20_000, 24 * exp(v1 / 2))
    let integral = (0..<n).reduce(0.0) { sum, i in
      let x = m1 + width * ((Double(i) + 0.5) / Double(n) - 0.5)
      let p = logDensity(x, m1, v1)
      return sum + exp(p) * (p - logDensity(x, m2, v2)) * width / Double(n)
    }
    #expect(abs(gaussianKL(mean1: m1, logVariance1: v1, mean2: m2, logVariance2: v2) - integral) < 1e-9)
  }

  /// L_{t−1} from the KL is the weighted squared error, up to the part without parameters, whatever the network predicts.
  @Test(arguments: Prediction.allCases, [ReverseVariance.fixedSmall, .fixedLarge])
  func klIsTheWeightedError(_ prediction: Prediction, _ variance: ReverseVariance) throws {
    let process = try ReverseProcess(
      schedule: NoiseSchedule(), prediction: prediction, variance: variance, limit: .none)
    let shape = Images.Shape(5, 1, 3, 3)
    let (x0, ε) = (0.5 * normals(shape, seed: 1), normals(shape, seed: 2))
    let t: [Timestep] = [2, 10, 100, 500, 1000]
    let xt = ForwardProcess(process.schedule).noised(x0, at: t, epsilon: ε)
    let target = Images(
      joining: t.indices.map { n in
        prediction.target(
          x0: x0[sample: n], epsilon: ε[sample: n], xt: xt[sample: n], level: process.schedule.level(t[n]),
          posterior: process.schedule.posterior(t[n]))
      })
    let output = target + 0.1 * normals(shape, seed: 3)
    let terms = VariationalBound(process).terms(x0, epsilon: ε, output: output, at: t)
    let weighted = process.squaredError(x0, epsilon: ε, output: output, at: t, weight: .bound)
    for n in t.indices {
      // What is left when the means agree: KL of two variances.
      let constant = gaussianKL(
        mean1: 0, logVariance1: process.schedule.posteriorLogVariance(t[n]), mean2: 0,
        logVariance2: process.fixedLogVariance(at: t[n]))
      #expect(abs(terms[n].nats - constant - weighted[n]) < 1e-9 * weighted[n] + 1e-14, "t = \(t[n])")
    }
  }

  /// min-SNR weighs the same x̂_0 error the same, whatever the network predicts.
  @Test(arguments: Prediction.allCases) func minSNRWeighsTheDataError(_ prediction: Prediction) throws {
    let process = try ReverseProcess(schedule: NoiseSchedule(), prediction: prediction, limit: .none)
    for t: Timestep in [2, 50, 400, 999] {
      let schedule = process.schedule
      // Two outputs one apart, and the x̂_0 they mean.
      let x0 = [0.0, 1.0].map {
        prediction.x0($0, xt: 0.3, level: schedule.level(t), posterior: schedule.posterior(t))
      }
      let error = (x0[1] - x0[0]) * (x0[1] - x0[0])
      let weight = process.weight(.minSNR(gamma: 5), at: t)
      #expect(abs(weight / (min(schedule.snr[t], 5) * error) - 1) < 1e-9, "t = \(t)")
    }
    let ε = try ReverseProcess(schedule: NoiseSchedule(), prediction: .epsilon)
    #expect(abs(ε.weight(.minSNR(), at: 2) - 5 / ε.schedule.snr[2]) < 1e-12)
    #expect(ε.weight(.minSNR(), at: 900) == 1)
    #expect(ε.weight(.simple, at: 900) == 1)
  }

  /// Under zero terminal SNR, sampling begins where SNR = 0; that level is learned too, v as in L_simple.
  @Test(arguments: [Prediction.sample, .velocity, .mean]) func minSNRLearnsTheLastLevel(_ prediction: Prediction) throws
  {
    let process = try ReverseProcess(schedule: NoiseSchedule(zeroTerminalSNR: true), prediction: prediction)
    #expect(process.weight(.minSNR(), at: 1000) > 0)
    if prediction == .velocity {
      #expect(process.weight(.minSNR(), at: 1000) == 1)
      #expect(abs(process.weight(.minSNR(), at: 900) - 1) < 1e-12)
      #expect(abs(process.weight(.minSNR(), at: 1) - 5 * (1 - process.schedule.ᾱ[1])) < 1e-12)
    }
  }

  /// The hybrid objective is L_simple plus T/1000 of the bound in bits, with the unlimited x̂_0.
  @Test func hybridIsTheSum() throws {
    let process = try ReverseProcess(schedule: NoiseSchedule(T: 100, rescaled: true), variance: .learnedRange)
    let shape = Images.Shape(3, 1, 4, 4)
    let (x0, ε) = (normals(shape, seed: 1).map { min(max($0, -1), 1) }, normals(shape, seed: 2))
    let output = normals(.init(3, 2, 4, 4), seed: 3)
    let t: [Timestep] = [1, 20, 100]
    let hybrid = process.objective(.hybrid(), x0: x0, epsilon: ε, output: output, at: t)
    let simple = process.objective(.squaredError(), x0: x0, epsilon: ε, output: output, at: t)
    let bound = VariationalBound(process.limited(.none)).terms(x0, epsilon: ε, output: output, at: t)
    for n in t.indices { #expect(abs(hybrid[n] - simple[n] - 0.1 * bound[n].bits) < 1e-12 * hybrid[n]) }
  }

  /// KL ≥ 0, and 0 only where both are the same; the order matters.
  @Test func klIsPositiveAndNotSymmetric() {
    for m in [-1.0, 0, 0.3] {
      for v in [-2.0, 0, 1.5] {
        let there = gaussianKL(mean1: 0.3, logVariance1: 0, mean2: m, logVariance2: v)
        let back = gaussianKL(mean1: m, logVariance1: v, mean2: 0.3, logVariance2: 0)
        #expect(m == 0.3 && v == 0 ? there == 0 : there > 0.01)
        #expect(v == 0 ? abs(there - back) < 1e-15 : abs(there - back) > 0.01)
      }
    }
  }

  /// ½ (ln |Σ₂|/|Σ₁| + tr Σ₂⁻¹Σ₁ + (μ₁−μ₂)ᵀ Σ₂⁻¹ (μ₁−μ₂) − d) is the sum over dimensions where both are diagonal, in any turned axes.
  @Test(arguments: [0.0, 0.7]) func klOfManyDimensionsIsASum(_ angle: Double) {
    let (v1, v2, difference) = ([0.3, 1.2], [0.5, 0.4], [0.7, -0.2])
    let (c, s) = (cos(angle), sin(angle))
    // [a, b, d] of U diag(v) Uᵀ = [[a, b], [b, d]], and U (μ₁ − μ₂)
    let turned = { (v: [Double]) in [c * c * v[0] + s * s * v[1], c * s * (v[0] - v[1]), s * s * v[0] + c * c * v[1]] }
    let (Σ1, Σ2) = (turned(v1), turned(v2))
    let u = [c * difference[0] - s * difference[1], s * difference[0] + c * difference[1]]
    let (det1, det2) = (Σ1[0] * Σ1[2] - Σ1[1] * Σ1[1], Σ2[0] * Σ2[2] - Σ2[1] * Σ2[1])
    let trace = (Σ2[2] * Σ1[0] - 2 * Σ2[1] * Σ1[1] + Σ2[0] * Σ1[2]) / det2
    let distance = (Σ2[2] * u[0] * u[0] - 2 * Σ2[1] * u[0] * u[1] + Σ2[0] * u[1] * u[1]) / det2
    let sum = (0..<2).reduce(0.0) {
      $0 + gaussianKL(mean1: difference[$1], logVariance1: log(v1[$1]), mean2: 0, logVariance2: log(v2[$1]))
    }
    // Σ turns both ways: U(−θ) takes the off-diagonal's sign with it.
    #expect(abs(0.5 * (log(det2 / det1) + trace + distance - 2) - sum) < 1e-12)
  }

  /// L_T has no parameters, and is next to nothing: 1e-5 bits for the paper's schedule. T = 100 unscaled steps are too few for that.
  @Test func priorIsNextToNothing() throws {
    let pixels = Images(shape: .init(1, 1, 1, 3), scalars: [-1, 0, 1])
    let bits = { (T: Int) throws -> Double in
      try VariationalBound(ReverseProcess(schedule: NoiseSchedule(T: T))).prior(pixels)[0] / log(2.0)
    }
    #expect(try bits(1000) > 0 && bits(1000) < 3e-5)
    #expect(try bits(100) > 0.1)
  }

  /// At t = 1 the posterior is a point, whose divergence from any density is infinite: the limit of ever narrower ones is. L_0 is finite.
  @Test func aPointHasNoDivergence() throws {
    let kl = [1e-2, 1e-4, 1e-8, 1e-300].map { gaussianKL(mean1: 0, logVariance1: log($0), mean2: 0, logVariance2: -4) }
    #expect(zip(kl, kl.dropFirst()).allSatisfy { $0 < $1 } && kl[3] > 300)
    let process = try ReverseProcess(schedule: NoiseSchedule(), limit: .none)
    let x0 = Images(repeating: 1, shape: .init(1, 1, 1, 1))
    let term = VariationalBound(process).terms(x0, epsilon: 0.0 * x0, output: 0.0 * x0, at: [1])[0]
    #expect(term.nats.isFinite && term.nats > 0)
  }

  /// For a chain of linear Gaussian steps p_θ(x_0) = ∫ p_θ(x_{0:T}) dx_{1:T} is a Gaussian, got step by step. Its cross-entropy with the data
  /// is H(q) + KL(q ‖ p_θ); L is never below it, and reaches it where the reverse steps are the true posteriors'.
  @Test(arguments: [ReverseVariance.learned, .fixedLarge, .fixedSmall])
  func boundIsAboveTheIntegral(_ variance: ReverseVariance) throws {
    let schedule = try NoiseSchedule(T: 50, rescaled: true)
    let data = ScalarGaussianData(schedule: schedule)
    let process = try ReverseProcess(schedule: schedule, variance: variance, limit: .none)
    let output = { (x: Images, t: [Timestep]) in
      let both = data.predict(x, at: t, given: .none)
      return variance.isLearned ? both : both.splitChannels().0
    }

    // p(x_T) = N(0, 1); then x_{t−1} = a x_t + b + σ_t z: mean a m + b, variance a² v + σ_t².
    var (m, v) = (0.0, 1.0)
    for t in schedule.timesteps.reversed() {
      let ends = Images(shape: .init(2, 1, 1, 1), scalars: [0, 1])
      let denoised = process.denoised(output(ends, [t, t]), xt: ends, at: t)
      let μ = process.mean(denoised, xt: ends, at: t).doubles
      let logσ² =
        switch process.logVariance(denoised, at: t) {
        case .uniform(let log): log
        case .each(let logs): Double(logs.scalars[0])
        }
      (m, v) = ((μ[1] - μ[0]) * m + μ[0], (μ[1] - μ[0]) * (μ[1] - μ[0]) * v + exp(logσ²))
    }
    let entropy = 0.5 * log(2 * Double.pi * M_E * data.variance)
    let divergence = gaussianKL(
      mean1: data.mean, logVariance1: log(data.variance), mean2: m, logVariance2: log(v))
    // −E ln p_θ(x_0) = ½ (ln 2πv + E(x_0 − m)²/v)
    let crossEntropy =
      0.5 * (log(2 * Double.pi * v) + (data.variance + (data.mean - m) * (data.mean - m)) / v)
    #expect(abs(crossEntropy - entropy - divergence) < 1e-12)

    // Every term is a quadratic function of x_0 and ε, whose expectation three points give exactly: 0 and ±√3, with weights 2/3, 1/6, 1/6.
    let points: [(z: Double, weight: Double)] = [
      (0, 2.0 / 3), (3.0.squareRoot(), 1.0 / 6), (-3.0.squareRoot(), 1.0 / 6),
    ]
    let shape = Images.Shape(9, 1, 1, 1)
    let x0 = Images(
      shape: shape,
      scalars: (0..<9).map { Float(data.mean + data.variance.squareRoot() * points[$0 / 3].z) })
    let ε = Images(shape: shape, scalars: (0..<9).map { Float(points[$0 % 3].z) })
    let bound = VariationalBound(process, decoder: .density)
    var each = bound.prior(x0)
    for t in schedule.timesteps {
      let all = [Timestep](repeating: t, count: 9)
      let xt = ForwardProcess(schedule).noised(x0, at: t, epsilon: ε)
      for (n, term) in bound.terms(x0, epsilon: ε, output: output(xt, all), at: all).enumerated() {
        each[n] += term.nats
      }
    }
    let L = each.indices.reduce(0) { $0 + points[$1 / 3].weight * points[$1 % 3].weight * each[$1] }
    // The best variances make every step the true posterior; what is left is that x_T is not quite N(0, 1).
    if variance == .learned {
      #expect(abs(L - crossEntropy) < 1e-5 && divergence < 1e-6 && divergence >= 0)
    } else {
      #expect(L > crossEntropy + 0.01 && divergence > 1e-4)
    }
  }

  /// The expectation over x_{t−1}, given x_t and x_0, of the logarithms' difference is the KL: what is left to draw is x_t.
  @Test(arguments: [2, 20, 100]) func innerExpectationIsTheKL(_ t: Int) throws {
    let t = Timestep(t)
    let schedule = try NoiseSchedule(T: 100, rescaled: true)
    let process = try ReverseProcess(schedule: schedule, variance: .fixedLarge, limit: .none)
    let (x0, ε, ε̂) = (0.4 as Float, -0.8 as Float, -0.6 as Float)
    let one = { (x: Float) in Images(repeating: x, shape: .init(1, 1, 1, 1)) }
    let term = VariationalBound(process).terms(one(x0), epsilon: one(ε), output: one(ε̂), at: [t])[0]

    let (level, posterior) = (schedule.level(t), schedule.posterior(t))
    let xt = level.xt(x0: Double(x0), epsilon: Double(ε))
    let (μ̃, β̃) = (posterior.mean(x0: Double(x0), xt: xt), schedule.posteriorVariance(t))
    let μ = posterior.mean(x0: level.x0(epsilon: Double(ε̂), xt: xt), xt: xt)
    let σ² = schedule.β[t]
    let n = 20_000
    let integral = (0..<n).reduce(0.0) { sum, i in
      let z = 20 * ((Double(i) + 0.5) / Double(n) - 0.5)
      let x = μ̃ + β̃.squareRoot() * z
      // ln q(x_{t−1} | x_t, x_0) − ln p_θ(x_{t−1} | x_t)
      let difference = 0.5 * (log(σ² / β̃) - z * z + (x - μ) * (x - μ) / σ²)
      return sum + exp(-0.5 * z * z) / (2 * Double.pi).squareRoot() * difference * 20 / Double(n)
    }
    #expect(abs(term.nats - integral) < 1e-9 * integral + 1e-12)
  }
}
