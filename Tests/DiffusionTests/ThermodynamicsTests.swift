import Diffusion
import Platform
import TestSupport
import Testing

@Suite struct ThermodynamicsTests {
  let schedule: NoiseSchedule
  /// One variance above that of the noise and one below.
  let gaussian = DiagonalGaussian(m: [0.7, -0.3], λ: [4, 0.25])
  let points = TwoPoints(m: 1, s²: 0.04)

  init() throws { schedule = try NoiseSchedule() }

  private func thermodynamics(_ data: DiagonalGaussian) -> Thermodynamics {
    Thermodynamics(schedule, dimension: data.λ.count, secondMoment: data.secondMoment)
  }
  private var line: Thermodynamics { Thermodynamics(schedule, dimension: 1, secondMoment: points.secondMoment) }
  /// Every fiftieth t.
  private var some: [Timestep] { stride(from: 1, through: 1000, by: 37).map { Timestep($0) } }

  private func worst(_ timesteps: [Timestep], _ error: (Timestep) -> Double) -> Double {
    timesteps.reduce(0) { max($0, abs(error($1))) }
  }

  /// The quadrature that the other tests rest on.
  @Test func quadratureMatchesManyDigits() throws {
    let known: ExactTests.Golden = try golden("exact.json")
    var error = 0.0
    for two in known.twoPoints {
      let points = TwoPoints(m: two.m, s²: two.s2)
      for row in two.rows {
        error = max(
          error, abs(points.entropy(row.abar) - row.entropy), abs(points.mmse(row.abar) - row.mmse),
          abs(points.fisher(row.abar) - row.fisher))
      }
    }
    expect(error, atMost: 1e-11, "two points: H, mmse and J against 30 digits")
  }

  @Test func entropyIsInformationAndNoise() {
    let thermodynamics = thermodynamics(gaussian)
    expect(
      worst(schedule.timesteps) {
        thermodynamics.entropy(information: gaussian.information(schedule.ᾱ[$0]), at: $0)
          - gaussian.entropy(schedule.ᾱ[$0])
      }, atMost: 1e-11, "H(x_t), Gaussian")
    for t in some {
      let H = gaussian.entropy(schedule.ᾱ[t])
      #expect(abs(thermodynamics.information(entropy: H, at: t) - gaussian.information(schedule.ᾱ[t])) < 1e-11)
    }
  }

  /// I-MMSE: the area under the errors is the information.
  @Test func informationIsTheAreaUnderTheErrors() {
    let gaussianErrors = schedule.timesteps.map { Measured(gaussian.εError(schedule.ᾱ[$0])) }
    let areas = thermodynamics(gaussian).information(gaussianErrors)
    expect(
      worst(schedule.timesteps) { areas[$0.number - 1].estimate.value - gaussian.information(schedule.ᾱ[$0]) },
      atMost: 2e-4, "I(x_0; x_t) from the errors at 1,000 t, Gaussian")

    let errors = schedule.timesteps.map { Measured(schedule.snr[$0] * points.mmse(schedule.ᾱ[$0])) }
    let line = line.information(errors)
    expect(
      worst(schedule.timesteps) {
        let ᾱ = schedule.ᾱ[$0]
        return line[$0.number - 1].estimate.value - (points.entropy(ᾱ) - 0.5 * log(2 * .pi * M_E * (1 - ᾱ)))
      }, atMost: 5e-4, "I(x_0; x_t) from the errors at 1,000 t, two points")
    for t in schedule.timesteps {
      let area = areas[t.number - 1], exact = gaussian.information(schedule.ᾱ[t])
      #expect(area.lower.value <= exact && exact <= area.upper.value, "t = \(t)")
      #expect(area.lower.value <= area.estimate.value && area.estimate.value <= area.upper.value + 1e-12, "t = \(t)")
    }
    // A network's larger errors: still above.
    let network = thermodynamics(gaussian).information(gaussianErrors.map { Measured(1.1 * $0.value) })
    #expect(
      zip(network, areas).allSatisfy { $0.upper.value >= $1.upper.value && $0.estimate.value > $1.estimate.value })
  }

  @Test func errorsOfInformationAdd() throws {
    let schedule = try NoiseSchedule(T: 3, rescaled: false)
    let thermodynamics = Thermodynamics(schedule, dimension: 1, secondMoment: 1)
    let errors = [Measured(0.5, error: 0.1), Measured(0.5, error: 0.1), Measured(0.5, error: 0.1)]
    let (γ, all) = (schedule.snr, thermodynamics.information(errors, correlation: .unknown))
    let independent = thermodynamics.information(errors, correlation: .independent)
    #expect(abs(all[2].estimate.error - 0.05) < 1e-12 && abs(all[2].upper.value - 0.5 * γ[3]) < 1e-12)
    #expect(abs(all[1].estimate.error - (0.05 + 0.05 * log(γ[2] / γ[3]))) < 1e-12)
    #expect(abs(all[1].estimate.value - (0.25 + 0.25 * log(γ[2] / γ[3]))) < 1e-12)
    #expect(abs(independent[1].lower.error - 0.05 * (1 + (1 - γ[3] / γ[2]) * (1 - γ[3] / γ[2])).squareRoot()) < 1e-12)
    #expect(independent[0].upper.error < all[0].upper.error)
  }

  @Test func zeroTerminalSNRHasNoInformationAtT() throws {
    let schedule = try NoiseSchedule(zeroTerminalSNR: true)
    let thermodynamics = Thermodynamics(schedule, dimension: 2, secondMoment: gaussian.secondMoment)
    let areas = thermodynamics.information(schedule.timesteps.map { Measured(gaussian.εError(schedule.ᾱ[$0])) })
    #expect(areas[999].estimate.value == 0 && areas[999].upper.value == 0)
    #expect(areas.allSatisfy { $0.estimate.value.isFinite && $0.upper.value.isFinite && $0.lower.value.isFinite })
    #expect(abs(areas[499].estimate.value - gaussian.information(schedule.ᾱ[500])) < 1e-3)
  }

  @Test func freeEnergyIsTheDivergence() {
    let thermodynamics = thermodynamics(gaussian)
    expect(
      worst(schedule.timesteps) {
        let H = gaussian.entropy(schedule.ᾱ[$0])
        return max(
          abs(thermodynamics.divergence(entropy: H, at: $0) - gaussian.divergence(schedule.ᾱ[$0])),
          abs(thermodynamics.freeEnergy(entropy: H, at: $0) + log(2 * .pi) - gaussian.divergence(schedule.ᾱ[$0])))
      }, atMost: 1e-11, "F and KL(q_t ‖ π), Gaussian")
    expect(
      worst(schedule.timesteps) {
        let ᾱ = schedule.ᾱ[$0]
        return thermodynamics.priorDivergence(at: $0) - gaussian.information(ᾱ) - gaussian.divergence(ᾱ)
      }, atMost: 1e-11, "E KL(q(x_t | x_0) ‖ π) = I + KL, Gaussian")
    expect(
      worst(some) {
        let ᾱ = schedule.ᾱ[$0]
        // KL straight from its definition: E ln q_t/π
        let exact = points.mean(ᾱ) { log(points.density($0, ᾱ)) + 0.5 * (log(2 * .pi) + $0 * $0) }
        return line.divergence(entropy: points.entropy(ᾱ), at: $0) - exact
      }, atMost: 1e-10, "KL(q_t ‖ π), two points")
  }

  /// Entropy may fall; what is produced is never negative, and adds up to the divergence at the start less that at the end.
  @Test func entropyMayFallButProductionDoesNot() {
    for data in [gaussian, DiagonalGaussian(m: [0], λ: [4]), DiagonalGaussian(m: [0], λ: [0.25])] {
      let thermodynamics = thermodynamics(data)
      let H = (0...1000).map { data.entropy(schedule.ᾱ[Timestep($0)]) }
      let produced = schedule.timesteps.map {
        thermodynamics.production(entropyBefore: H[$0.number - 1], entropy: H[$0.number], at: $0)
      }
      #expect(produced.allSatisfy { $0 > 0 })
      let whole = data.divergence(1) - data.divergence(schedule.ᾱ[1000])
      expect(abs(produced.reduce(0, +) - whole), atMost: 1e-11, "production, summed over t")
      let falls = (1...1000).filter { H[$0] < H[$0 - 1] }.count
      if data.λ == [4] { #expect(falls == 1000, "a wide Gaussian's entropy falls all the way") }
      if data.λ == [0.25] { #expect(falls == 0) }
    }
  }

  @Test func productionRateIsTheSlopeOfTheDivergence() {
    // τ = −½ ln ᾱ, so ᾱ = e^{−2τ}.
    let slope = { (ᾱ: Double, f: (Double) -> Double) -> Double in
      let h = 1e-4
      // Five points: the error is of order h⁴.
      let at = [-2, -1, 1, 2].map { f(ᾱ * exp(2 * h * $0)) }
      return (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12 * h)
    }
    // Not where 1 − ᾱ is of the size of the differences.
    let inside = some.filter { schedule.ᾱ[$0] < 0.99 }
    let thermodynamics = thermodynamics(gaussian)
    expect(
      worst(inside) {
        let ᾱ = schedule.ᾱ[$0]
        let rate = thermodynamics.productionRate(epsilonError: gaussian.εError(ᾱ), at: $0)
        return (rate - slope(ᾱ, gaussian.divergence)) / max(rate, 1e-3)
      }, atMost: 1e-6, "−dKL/dτ, Gaussian, relative")
    expect(
      worst(inside) {
        let ᾱ = schedule.ᾱ[$0]
        let rate = line.productionRate(epsilonError: schedule.snr[$0] * points.mmse(ᾱ), at: $0)
        #expect(abs(rate - points.mean(ᾱ) { (points.score($0, ᾱ) + $0) * (points.score($0, ᾱ) + $0) }) < 1e-9)
        return (rate - slope(ᾱ, points.divergence)) / max(rate, 1e-3)
      }, atMost: 1e-6, "−dKL/dτ, two points, relative")
  }

  @Test func fisherInformationOfTheErrors() {
    let thermodynamics = thermodynamics(gaussian)
    expect(
      worst(schedule.timesteps) {
        let ᾱ = schedule.ᾱ[$0]
        return thermodynamics.fisherInformation(epsilonError: gaussian.εError(ᾱ), at: $0) / gaussian.fisher(ᾱ) - 1
      }, atMost: 1e-11, "J, Gaussian, relative")
    expect(
      worst(some) {
        let ᾱ = schedule.ᾱ[$0]
        return line.fisherInformation(epsilonError: schedule.snr[$0] * points.mmse(ᾱ), at: $0) - points.fisher(ᾱ)
      }, atMost: 1e-9, "J, two points")
  }

  /// dH(x_0 + σε)/dσ² = ½ J and dI/dγ = ½ mmse_x, by differences.
  @Test func deBruijnAndIMMSE() {
    // x_0 + σε = x_t/√ᾱ with σ² = (1 − ᾱ)/ᾱ: its entropy is H(x_t) − ½ ln ᾱ, its Fisher information ᾱ J(x_t).
    let ᾱ = { (σ²: Double) in 1 / (1 + σ²) }
    let (h, entropy) = (1e-4, { (σ²: Double) in points.entropy(ᾱ(σ²)) - 0.5 * log(ᾱ(σ²)) })
    let (bruijn, immse) = [0.05, 0.3, 1, 4].reduce((0.0, 0.0)) { worst, σ² in
      let a = ᾱ(σ²), γ = 1 / σ²
      let J = (1 - γ * points.mmse(a)) / (1 - a)
      let information = { (γ: Double) in
        points.entropy(γ / (1 + γ)) - 0.5 * log(2 * .pi * M_E / (1 + γ))
      }
      return (
        max(worst.0, abs((entropy(σ² + h) - entropy(σ² - h)) / (2 * h) - 0.5 * a * J)),
        max(worst.1, abs((information(γ + h) - information(γ - h)) / (2 * h) - 0.5 * points.mmse(a)))
      )
    }
    expect(bruijn, atMost: 1e-5, "de Bruijn's identity, two points, by differences")
    expect(immse, atMost: 1e-6, "dI/dγ = ½ mmse, two points, by differences")
  }

  @Test func reverseEntropyBounds() throws {
    let (wide, narrow) = (DiagonalGaussian(m: [0], λ: [4]), DiagonalGaussian(m: [0], λ: [0.25]))
    var worst = 0.0
    for t in schedule.timesteps.dropFirst() {
      for (data, rises) in [(wide, false), (narrow, true)] {
        let thermodynamics = thermodynamics(data)
        let (before, after) = (data.entropy(schedule.ᾱ[t.previous]), data.entropy(schedule.ᾱ[t]))
        let H = thermodynamics.reverseEntropy(entropyBefore: before, entropy: after, at: t)
        let bounds = thermodynamics.reverseEntropyBounds(at: t)
        #expect(H >= bounds.lower - 1e-12, "t = \(t)")
        #expect((H <= bounds.upper) == rises && (after >= before) == rises, "t = \(t)")
        // Var(x_{t−1} | x_t) = β̃ + c² Var(x_0 | x_t)
        let c = schedule.posterior(t).x0Coefficient
        let spread =
          schedule.posteriorVariance(t) + c * c * data.λ[0] * (1 - schedule.ᾱ[t]) / data.v(schedule.ᾱ[t])[0]
        worst = max(worst, abs(H - 0.5 * log(2 * .pi * M_E * spread)))
      }
    }
    expect(worst, atMost: 1e-9, "T7, H(x_{t−1} | x_t) of Gaussians")
  }

  /// For exact kernels the terms of the bound are differences of information, and the rate is I plus what the prior misses.
  @Test func termsAreInformation() throws {
    let schedule = try NoiseSchedule(T: 100, rescaled: true)
    let data = DiagonalGaussian(m: [0.2], λ: [0.25])
    let mixture = try GaussianMixture([.init(mean: data.m, covariance: .isotropic(data.λ[0]))])
    let thermodynamics = Thermodynamics(schedule, dimension: 1, secondMoment: data.secondMoment)
    let I = (0...100).map { $0 == 0 ? .infinity : data.information(schedule.ᾱ[Timestep($0)]) }
    let x0 = Images(
      shape: .init(9, 1, 1, 1), scalars: hermite.flatMap { a in hermite.map { _ in Float(0.2 + 0.5 * a.z) } })
    let ε = Images(shape: .init(9, 1, 1, 1), scalars: hermite.flatMap { _ in hermite.map { Float($0.z) } })
    let weights = hermite.flatMap { a in hermite.map { a.weight * $0.weight } }
    let gap = thermodynamics.divergence(entropy: data.entropy(schedule.ᾱ[100]), at: 100)
    var (exact, fixed) = (0.0, 0.0)
    for (variance, isExact) in [(ReverseVariance.learned, true), (.fixedSmall, false)] {
      let denoiser = ExactDenoiser(mixture, schedule: schedule, predictsVariance: isExact)
      let bound = VariationalBound(
        try ReverseProcess(schedule: schedule, variance: variance, limit: .none), decoder: .density)
      // rate(T) = L_T
      var rate = zip(bound.prior(x0), weights).reduce(0) { $0 + $1.0 * $1.1 }
      #expect(abs(rate - thermodynamics.priorDivergence(at: 100)) < 1e-6)
      for t in schedule.timesteps.reversed() {
        let error = rate - I[t.number] - gap
        if isExact { exact = max(exact, abs(error)) } else { #expect(error > -1e-5, "t = \(t)") }
        let all = [Timestep](repeating: t, count: 9)
        let output = try denoiser.predict(ForwardProcess(schedule).noised(x0, at: t, epsilon: ε), at: all)
        let terms = bound.terms(x0, epsilon: ε, output: output, at: all)
        let term = zip(terms, weights).reduce(0) { $0 + $1.0.nats * $1.1 }
        guard t > 1 else {
          // The best L_0 is H(x_0 | x_1) = H(x_0) − I(x_0; x_1).
          if isExact { exact = max(exact, abs(term - data.entropy(1) + I[1])) }
          continue
        }
        if isExact {
          exact = max(exact, abs(term - (I[t.number - 1] - I[t.number])))
        } else {
          // ½ (γ_{t−1} − γ_t) ‖x_0 − x̂_0‖²: an upper sum of the area
          let error = zip(terms, weights).reduce(0) { $0 + $1.0.x0Error * $1.1 }
          fixed = max(fixed, abs(term / (0.5 * (schedule.snr[t.previous] - schedule.snr[t]) * error) - 1))
          #expect(term > (1 - 1e-5) * (I[t.number - 1] - I[t.number]))
        }
        rate += term
      }
    }
    expect(exact, atMost: 1e-5, "L_{t−1} and rate(t) as information, exact kernels")
    expect(fixed, atMost: 1e-5, "L_{t−1} as an upper sum, σ² = β̃, relative")
  }

  @Test func tableHoldsEveryQuantity() {
    let rows = thermodynamics(gaussian).table(
      schedule.timesteps.map { Measured(gaussian.εError(schedule.ᾱ[$0]), error: 1e-3) }, correlation: .independent)
    #expect(rows.count == 1000 && rows[0].production == nil && rows.map(\.t) == schedule.timesteps)
    var error = 0.0
    for row in rows {
      let ᾱ = schedule.ᾱ[row.t]
      error = max(
        error, abs(row.entropy.value - gaussian.entropy(ᾱ)), abs(row.divergence.value - gaussian.divergence(ᾱ)),
        abs(row.freeEnergy.value + log(2 * .pi) - gaussian.divergence(ᾱ)))
      #expect(abs(row.fisherInformation.value / gaussian.fisher(ᾱ) - 1) < 1e-10)
      #expect(abs(row.fisherInformation.error - 1e-3 / (1 - ᾱ)) < 1e-9 && row.entropy.error > 0)
      #expect(abs(row.logSNR - log(schedule.snr[row.t])) < 1e-9)
    }
    expect(error, atMost: 2e-4, "H, F and KL of the table, Gaussian")
    #expect(rows.dropFirst().allSatisfy { ($0.production ?? -1) > 0 })
  }

  /// Means over draws agree with the quadrature.
  @Test func knownDataIsMeasured() throws {
    let n = 4000
    let z = normals(.init(n, 1, 1, 1), seed: 4).scalars
    let x0 = Images(
      shape: .init(n, 1, 1, 1), scalars: z.indices.map { Float(points.m) * ($0 % 2 == 0 ? 1 : -1) + 0.2 * z[$0] })
    let mixture = try points.mixture
    for t: Timestep in [50, 200, 400] {
      let row = mixture.measured(x0, epsilon: normals(x0.shape, seed: 5), at: t, schedule: schedule)
      let ᾱ = schedule.ᾱ[t]
      let binary = points.mean(ᾱ) { x in
        let p = points.plus(x, ᾱ)
        return p > 0 && p < 1 ? -p * log(p) - (1 - p) * log(1 - p) : 0
      }
      for (measured, exact) in [
        (row.entropy, points.entropy(ᾱ)), (row.εError, schedule.snr[t] * points.mmse(ᾱ)), (row.causeEntropy, binary),
        (row.classEntropy, binary),
      ] { #expect(abs(measured.value - exact) < 5 * measured.error + 1e-6, "t = \(t): \(measured), not \(exact)") }
    }
  }
}
