import Diffusion
import Platform
import TestSupport
import Testing

/// How fast each solver of the probability-flow ODE converges, on Gaussian data, where the solution is known.
@Suite struct SamplerOrderTests {
  let schedule: NoiseSchedule
  let data: GaussianData

  init() throws {
    schedule = try NoiseSchedule()
    data = GaussianData(schedule: schedule)
  }

  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let order: Double
    /// The numbers of steps compared: n and 2 n.
    let n: Int
    var levels = Levels.λ
    let sampler: any Sampler
    var testDescription: String { name }
  }

  /// How the levels lie: evenly in λ; in σ̄^{1/3}; at whole timesteps.
  enum Levels { case λ, σ, t }

  static let cases: [Case] = [
    Case(name: "DDIM", order: 1, n: 48, levels: .t, sampler: DDIM()),
    Case(name: "Euler", order: 1, n: 64, sampler: Euler()),
    Case(name: "Heun", order: 2, n: 32, sampler: Heun()),
    Case(name: "EDM without churn", order: 2, n: 32, sampler: EDM(churn: 0)),
    Case(name: "DPM-Solver++ 1", order: 1, n: 64, sampler: DPMSolverPlusPlus(order: 1, lowerOrderFinal: false)),
    Case(name: "DPM-Solver++ 2M", order: 2, n: 64, sampler: DPMSolverPlusPlus(lowerOrderFinal: false)),
    Case(
      name: "DPM-Solver++ 2M, Heun's", order: 2, n: 64,
      sampler: DPMSolverPlusPlus(correction: .heun, lowerOrderFinal: false)),
    Case(name: "DPM-Solver++ 3M", order: 3, n: 64, sampler: DPMSolverPlusPlus(order: 3, lowerOrderFinal: false)),
    Case(name: "DPM-Solver++ 2S", order: 2, n: 64, sampler: DPMSolverPlusPlusSinglestep()),
    Case(name: "DPM-Solver++ 2S, Heun's", order: 2, n: 64, sampler: DPMSolverPlusPlusSinglestep(correction: .heun)),
    Case(name: "DPM-Solver++ 3S", order: 3, n: 48, sampler: DPMSolverPlusPlusSinglestep(order: 3, correction: .heun)),
    Case(name: "UniPC 1", order: 2, n: 32, sampler: UniPC(order: 1, lowerOrderFinal: false)),
    Case(name: "UniPC 2", order: 3, n: 32, sampler: UniPC(lowerOrderFinal: false)),
    Case(name: "UniPC 3", order: 4, n: 48, levels: .σ, sampler: UniPC(order: 3, lowerOrderFinal: false)),
    Case(name: "DEIS 1", order: 1, n: 64, sampler: DEIS(order: 1, lowerOrderFinal: false)),
    Case(name: "DEIS 2", order: 2, n: 64, sampler: DEIS(lowerOrderFinal: false)),
    Case(name: "DEIS 3", order: 3, n: 64, sampler: DEIS(order: 3, lowerOrderFinal: false)),
    Case(name: "LMS 2", order: 2, n: 48, levels: .σ, sampler: LMS(order: 2)),
    Case(name: "LMS 4", order: 4, n: 48, levels: .σ, sampler: LMS()),
    Case(name: "PNDM", order: 2, n: 48, levels: .t, sampler: PNDM()),
    Case(name: "PLMS", order: 2, n: 48, levels: .t, sampler: PNDM(skipsRungeKutta: true)),
  ]

  @Test(arguments: cases) func convergesInItsOrder(_ test: Case) throws {
    let (coarse, fine) = (try error(test, test.n), try error(test, 2 * test.n))
    let slope = log2(coarse / fine)
    expect(abs(slope - test.order), atMost: 0.2, "\(test.name): slope \(slope), errors \(coarse), \(fine)")
    // Well above what Float can say.
    #expect(fine > 1e-6)
  }

  /// A method of order p integrates x̂_0 (or ε̂) exactly where it is a polynomial of degree below p: of λ, of σ̄ or of ln σ̄.
  @Test func coefficientsIntegratePolynomials() {
    let λ = [-1.0, -1.4, -1.9, -2.1]
    let levels = λ.map { NoiseLevel(sigmaBar: exp(-$0)) }
    let s = NoiseLevel<Double>(sigmaBar: exp(0.6))

    // x_s = √(1−ᾱ_s) (x_t/√(1−ᾱ_t) + ∫ e^λ x̂_0 dλ)
    func defect(_ c: StepCoefficients, from t: NoiseLevel<Double>, at known: [NoiseLevel<Double>], degree: Double)
      -> Double
    {
      let integral = integrate(t.λ, s.λ) { exp($0) * pow($0, degree) }
      let exact = s.sqrtOneMinusᾱ * (1 / t.sqrtOneMinusᾱ + integral)
      return abs(c(1.0, known.map { pow($0.λ, degree) }) - exact)
    }
    for degree in [0.0, 1, 2] {
      let exact = { (order: Int) in degree < Double(order) }
      for order in 1...3 {
        let known = Array(levels.prefix(order))
        let multistep = DPMSolverPlusPlus(order: order, correction: .heun).coefficients(to: s, from: known)
        #expect((defect(multistep, from: levels[0], at: known, degree: degree) < 1e-12) == exact(order))
        let block = DPMSolverPlusPlusSinglestep(order: order, correction: .heun).coefficients(to: s, from: known)
        #expect((defect(block, from: known[order - 1], at: known, degree: degree) < 1e-12) == exact(order))
        let corrector = UniPC(order: order).coefficients(to: s, from: known, correcting: true)
        #expect(
          (defect(corrector, from: levels[0], at: [s] + known, degree: degree) < 1e-12)
            == exact(order == 1 ? 1 : order + 1))
      }
      let predictor = UniPC(order: 3).coefficients(to: s, from: Array(levels.prefix(3)), correcting: false)
      #expect(defect(predictor, from: levels[0], at: Array(levels.prefix(3)), degree: degree) < 1e-12)
      // diffusers' third order is none.
      let halved = DPMSolverPlusPlus(order: 3, halvesCurvature: true).coefficients(to: s, from: Array(levels.prefix(3)))
      #expect((defect(halved, from: levels[0], at: Array(levels.prefix(3)), degree: degree) < 1e-12) == exact(2))
    }

    // x̄_s = x̄_t + ∫ ε̂ dσ̄, with x̂_0 = 0, so x̄_t = σ̄_t ε̂_0
    let t = levels[0]
    for degree in [0.0, 1, 2, 3] {
      let lms = LMS().coefficients(to: s, from: levels)
      let ε = levels.map { pow($0.σ̄, degree) }
      let exact = t.σ̄ * ε[0] + (pow(s.σ̄, degree + 1) - pow(t.σ̄, degree + 1)) / (degree + 1)
      #expect(abs(lms(0.0, [0] + ε) - s.sqrtᾱ * exact) < 1e-12)
      let deis = DEIS(order: 3).coefficients(to: s, from: Array(levels.prefix(3)))
      let logs = levels.prefix(3).map { pow($0.λ, degree) }
      let integral = t.σ̄ * logs[0] + integrate(t.σ̄, s.σ̄) { pow(-log($0), degree) }
      #expect((abs(deis(0.0, [0] + logs) - s.sqrtᾱ * integral) < 1e-12) == (degree < 3))
    }
  }

  /// ∫ f from a to b, by Simpson's rule.
  private func integrate(_ a: Double, _ b: Double, _ f: (Double) -> Double) -> Double {
    let n = 4000
    let h = (b - a) / Double(n)
    var sum = f(a) + f(b)
    for i in 1..<n { sum += (i % 2 == 1 ? 4 : 2) * f(a + Double(i) * h) }
    return h / 3 * sum
  }

  /// The mean distance from the solution at the last but one of n + 1 levels; the step to the data is not the ODE's.
  private func error(_ test: Case, _ n: Int) throws -> Double {
    let process = try ReverseProcess(schedule: schedule, limit: .none)
    let levels = levels(test.levels, n)
    let x = normals(.init(16, 2, 1, 1), seed: 11)
    var noise = RecordedNoise(initial: x)
    var reached = x
    _ = try test.sampler.sample(
      shape: x.shape, timesteps: levels, process: process, denoiser: data, noise: &noise
    ) { if $0.transition.to == levels[n] { reached = $0.x } }
    let solution = (0..<x.shape.count).flatMap { i in
      data.flow(
        (x.doubles[2 * i], x.doubles[2 * i + 1]), from: schedule.level(levels[0]), to: schedule.level(levels[n]))
    }
    return zip(reached.doubles, solution).reduce(0) { $0 + abs($1.0 - $1.1) } / Double(solution.count)
  }

  /// n + 1 levels.
  private func levels(_ spacing: Levels, _ n: Int) -> [Timestep] {
    switch spacing {
    case .λ:
      SigmaSpacing.exponential.sigmas(n + 1, from: exp(5), to: exp(-1)).map { schedule.timestep(sigmaBar: $0) }
    case .σ:
      (0...n).map { i in
        let root = cbrt(20) + (cbrt(0.1) - cbrt(20)) * Double(i) / Double(n)
        return schedule.timestep(sigmaBar: root * root * root)
      }
    case .t: (0...n).map { Timestep(976 - 768 / n * $0) }
    }
  }
}
