import Diffusion
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
        let bits = bound.terms(x0, ε: ε, output: output, at: t).map(\.bits)
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
    let xt = ForwardProcess(process.schedule).noised(x0, at: t, ε: ε)
    let target = Images(
      joining: t.indices.map { n in
        prediction.target(
          x0: x0[sample: n], ε: ε[sample: n], xt: xt[sample: n], level: process.schedule.level(t[n]),
          posterior: process.schedule.posterior(t[n]))
      })
    let output = target + 0.1 * normals(shape, seed: 3)
    let terms = VariationalBound(process).terms(x0, ε: ε, output: output, at: t)
    let weighted = process.squaredError(x0, ε: ε, output: output, at: t, weight: .bound)
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
      let weight = process.weight(.minSNR(γ: 5), at: t)
      #expect(abs(weight / (min(schedule.snr[t], 5) * error) - 1) < 1e-9, "t = \(t)")
    }
    let ε = try ReverseProcess(schedule: NoiseSchedule(), prediction: .epsilon)
    #expect(abs(ε.weight(.minSNR(), at: 2) - 5 / ε.schedule.snr[2]) < 1e-12)
    #expect(ε.weight(.minSNR(), at: 900) == 1)
    #expect(ε.weight(.simple, at: 900) == 1)
  }

  /// The hybrid objective is L_simple plus T/1000 of the bound in bits, with the unlimited x̂_0.
  @Test func hybridIsTheSum() throws {
    let process = try ReverseProcess(schedule: NoiseSchedule(T: 100, rescaled: true), variance: .learnedRange)
    let shape = Images.Shape(3, 1, 4, 4)
    let (x0, ε) = (normals(shape, seed: 1).map { min(max($0, -1), 1) }, normals(shape, seed: 2))
    let output = normals(.init(3, 2, 4, 4), seed: 3)
    let t: [Timestep] = [1, 20, 100]
    let hybrid = process.objective(.hybrid(), x0: x0, ε: ε, output: output, at: t)
    let simple = process.objective(.squaredError(), x0: x0, ε: ε, output: output, at: t)
    let bound = VariationalBound(process.limited(.none)).terms(x0, ε: ε, output: output, at: t)
    for n in t.indices { #expect(abs(hybrid[n] - simple[n] - 0.1 * bound[n].bits) < 1e-12 * hybrid[n]) }
  }
}
