import Diffusion
import Platform
import TestSupport
import Testing

@Suite struct ThermodynamicsRegimesTests {
  let schedule: NoiseSchedule

  init() throws { schedule = try NoiseSchedule() }

  /// At speciation the curvature of −ln q_t at the middle changes sign.
  @Test func twoPointsPartAtTheirSpeciation() throws {
    for points in [TwoPoints(m: 1, s²: 0.04), TwoPoints(m: 2, s²: 1.5)] {
      let mixture = try points.mixture
      let γ = try #require(Regimes.speciation(halfDistance: points.m, variance: points.s²))
      let curvature = { (γ: Double) -> Double in
        let (marginal, h) = (mixture.marginal(alphaBar: γ / (1 + γ)), 1e-3)
        return -(marginal.logDensity([h]) - 2 * marginal.logDensity([0]) + marginal.logDensity([-h])) / (h * h)
      }
      #expect(curvature(0.99 * γ) > 0 && curvature(1.01 * γ) < 0)
      // The zero of the curvature, by bisection.
      var (low, high) = (0.9 * γ, 1.1 * γ)
      for _ in 0..<40 {
        if curvature(0.5 * (low + high)) > 0 { low = 0.5 * (low + high) } else { high = 0.5 * (low + high) }
      }
      expect(abs(low / γ - 1), atMost: 1e-5, "γ of speciation, two points, relative")
    }
    #expect(Regimes.speciation(halfDistance: 1, variance: 1) == nil)
    #expect(Regimes.speciation(topEigenvalue: 4) == 0.25)
  }

  @Test func levelsAreFoundBetweenSteps() throws {
    for t in [1.0, 17.25, 500, 999.5, 1000] {
      let (a, part) = (Timestep(Int(t)), t - t.rounded(.down))
      let b = part > 0 ? Timestep(a.number + 1) : a
      let γ = exp((1 - part) * log(schedule.snr[a]) + part * log(schedule.snr[b]))
      let found = try #require(schedule.timestep(whereSNR: γ))
      #expect(abs(found - t) < 1e-6)
    }
    #expect(schedule.timestep(whereSNR: 1e9) == nil && schedule.timestep(whereSNR: 1e-9) == nil)
    let short = try NoiseSchedule(T: 4, rescaled: false)
    #expect(short.crossing(of: [4, 3, 1, 0], level: 2) == 2.5)
    #expect(short.crossing(of: [4, 3, 1, 0], level: 5) == nil)
    #expect(short.crossing(of: [0, 1, 2, 3], level: 3) == 4)
  }

  @Test func powerIterationFindsTheTopEigenvalue() throws {
    let d = 6
    let root = normals(.init(d, d, 1, 1), seed: 1)
    let z = normals(.init(500, d, 1, 1), seed: 2)
    // x = 3 + R z
    let rows = (0..<500).map { n in
      (0..<d).map { i in 3 + (0..<d).reduce(Float(0)) { $0 + root.scalars[i * d + $1] * z.scalars[n * d + $1] } }
    }
    let mean = (0..<d).map { i in rows.reduce(0) { $0 + Double($1[i]) } / 500 }
    let covariance = (0..<d * d).map { k in
      rows.reduce(0) { $0 + (Double($1[k / d]) - mean[k / d]) * (Double($1[k % d]) - mean[k % d]) } / 500
    }
    let eigen = SymmetricEigen(covariance, dimension: d)
    let top = try #require(eigen.values.indices.max { eigen.values[$0] < eigen.values[$1] })
    let axis = PrincipalAxis(dimension: d, tolerance: 1e-12, passes: 500) { visit in
      for part in [0..<123, 123..<500] {
        visit(Images(shape: .init(part.count, d, 1, 1), scalars: part.flatMap { rows[$0] }))
      }
    }
    expect(abs(axis.eigenvalue / eigen.values[top] - 1), atMost: 1e-9, "Λ by power iteration, relative")
    let along = (0..<d).reduce(0) { $0 + axis.direction[$1] * eigen.vectors[$1 * d + top] }
    #expect(abs(abs(along) - 1) < 1e-5)
    #expect(relativeL2(axis.mean, mean) < 1e-12)
    #expect(abs(axis.totalVariance / eigen.values.reduce(0, +) - 1) < 1e-12)
    // A U Λ Uᵀ is the matrix again.
    let back = (0..<d * d).map { k in
      (0..<d).reduce(0) { $0 + eigen.vectors[k / d * d + $1] * eigen.values[$1] * eigen.vectors[k % d * d + $1] }
    }
    expect(relativeL2(back, covariance), atMost: 1e-13, "U Λ Uᵀ")
    #expect(throws: CancellationError.self) { try PrincipalAxis(dimension: 2) { _ in throw CancellationError() } }
    // One point has no variance, and no direction.
    #expect(PrincipalAxis(dimension: 2) { $0(Images(repeating: 1, shape: .init(3, 2, 1, 1))) }.eigenvalue == 0)
  }

  /// Two copies of x_t agree with probability E[p² + (1 − p)²], p = P(+ | x_t).
  @Test func copiesAgreeAsThePosteriorSays() throws {
    let points = TwoPoints(m: 1, s²: 0.04)
    let schedule = try NoiseSchedule(T: 60, rescaled: true)
    let process = try ReverseProcess(schedule: schedule, variance: .learned, limit: .none)
    let denoiser = ExactDenoiser(try points.mixture, schedule: schedule, predictsVariance: true)
    let experiment = CloningExperiment(process: process, timesteps: schedule.timesteps.reversed(), seed: 3)
    let levels: [Timestep] = [6, 18, 30, 60]
    let agreements = try experiment.agreements(
      shape: .init(800, 1, 1, 1), at: levels, sampler: Ancestral(), denoiser: denoiser
    ) { $0.scalars.map { $0 > 0 ? 1 : 0 } }
    for t in levels {
      let φ = Measured(mean: try #require(agreements[t]).map { $0 ? 1.0 : 0.0 })
      let exact = points.mean(schedule.ᾱ[t]) { x in
        let p = points.plus(x, schedule.ᾱ[t])
        return p * p + (1 - p) * (1 - p)
      }
      // Five standard errors, and what 60 steps leave of the exact process.
      expect(abs(φ.value - exact), atMost: 5 * φ.error + 0.02, "φ at t = \(t), \(exact)")
    }
    // In parts it is the same experiment.
    let part = try experiment.agreements(
      shape: .init(20, 1, 1, 1), at: [30], sampler: Ancestral(), denoiser: denoiser, firstSample: 7
    ) { $0.scalars.map { $0 > 0 ? 1 : 0 } }
    #expect(part[30] == agreements[30].map { Array($0[7..<27]) })
    // And whoever watches may end it.
    #expect(throws: CancellationError.self) {
      try experiment.agreements(
        shape: .init(1, 1, 1, 1), at: [30], sampler: Ancestral(), denoiser: denoiser,
        observe: { throw CancellationError() }, classify: { _ in [] })
    }
  }

  @Test func collapseOfAGaussian() throws {
    // I(x_0; x_t) = ln N exactly at γ_C.
    for (N, D, s²) in [(60_000, 784, 0.3), (10, 2, 1.0)] {
      let γ = Regimes.collapse(count: N, dimension: D, variance: s²)
      let information = 0.5 * Double(D) * log1p(γ * s²)
      expect(abs(information - log(Double(N))), atMost: 1e-9, "I at γ_C, \(N) points in ℝ^\(D)")
    }
    // And by the crossing of a table.
    let data = DiagonalGaussian(m: [0, 0], λ: [1, 1])
    let table = schedule.timesteps.map { data.information(schedule.ᾱ[$0]) }
    let t = try #require(schedule.crossing(of: table, level: log(10.0)))
    let exact = try #require(schedule.timestep(whereSNR: Regimes.collapse(count: 10, dimension: 2, variance: 1)))
    expect(abs(t - exact), atMost: 1e-2, "t of collapse, table against closed form")
  }

  /// For a finite set, what x_t leaves open of the index is ln N less the information.
  @Test func openIndexIsWhatIsNotKnown() throws {
    let set = EmpiricalData(Images(shape: .init(2, 1, 1, 1), scalars: [1, -1]), labels: [0, 1])
    let points = TwoPoints(m: 1, s²: 0)
    var error = 0.0
    for t: Timestep in [20, 100, 300, 600, 1000] {
      let ᾱ = schedule.ᾱ[t]
      let open = points.mean(ᾱ) { set.posteriors(of: [$0], alphaBar: ᾱ)[0].causeEntropy }
      let information = points.entropy(ᾱ) - 0.5 * log(2 * .pi * M_E * (1 - ᾱ))
      error = max(error, abs(open - (log(2.0) - information)))
    }
    expect(error, atMost: 1e-10, "H(i | x_t) = ln N − I, two points")
  }

  /// Points drawn from a Gaussian are told apart about where γ_C says.
  @Test func collapseOfASample() throws {
    let (N, D) = (200, 20)
    let shape = Images.Shape(N, D, 1, 1)
    let set = EmpiricalData(normals(shape, seed: 5))
    let γ = Regimes.collapse(count: N, dimension: D, variance: 1)
    let tC = try #require(schedule.timestep(whereSNR: γ))
    let x0 = Images(joining: (0..<40).map { normals(shape, seed: 5)[sample: $0] })
    let open = { (t: Double) in
      set.measured(x0, epsilon: normals(x0.shape, seed: 6), at: Timestep(Int(t)), schedule: schedule).causeEntropy
    }
    let whole = log(Double(N))
    // On the noise's side the sample is as good as its distribution: ln N − (D/2) ln(1 + γ s²) is open.
    for far in [1.5, 2, 2.5] {
      let γ = schedule.snr[Timestep(Int(far * tC))]
      let (measured, exact) = (open(far * tC), whole - 0.5 * Double(D) * log1p(γ))
      #expect(abs(measured.value - exact) < 5 * measured.error + 0.02 * whole, "\(far): \(measured), \(exact)")
    }
    // At γ_C a finite sample still hesitates; on the data's side it does not.
    #expect(open(tC).value < 0.4 * whole && open(0.5 * tC).value < 0.02)
  }
}
