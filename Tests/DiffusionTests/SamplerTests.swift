import Diffusion
import TestSupport
import Testing

@Suite struct SamplerTests {
  let schedule: NoiseSchedule
  let data: GaussianData
  let process: ReverseProcess

  init() throws {
    schedule = try NoiseSchedule()
    data = GaussianData(schedule: schedule)
    process = try ReverseProcess(schedule: schedule, variance: .fixedLarge, limit: .none)
  }

  /// A deterministic sampler of Gaussian data is an affine map x_T ↦ A x_T + f: its samples are N(f, A Aᵀ), no draws needed.
  private func error(_ sampler: some Sampler, _ timesteps: [Timestep]) throws -> Double {
    let basis = Images(shape: .init(3, 2, 1, 1), scalars: [0, 0, 1, 0, 0, 1])
    var noise = RecordedNoise(initial: basis)
    let x = try sampler.sample(
      shape: basis.shape, timesteps: timesteps, process: process, denoiser: data, noise: &noise
    ).doubles
    let (f, u, v) = ((x[0], x[1]), (x[2] - x[0], x[3] - x[1]), (x[4] - x[0], x[5] - x[1]))
    return data.error(mean: f, covariance: (u.0 * u.0 + v.0 * v.0, u.0 * u.1 + v.0 * v.1, u.1 * u.1 + v.1 * v.1))
  }

  @Test func deterministicSamplersReturnTheData() throws {
    let many = Array(schedule.timesteps.reversed())
    // Evenly in λ, where these solvers are at home.
    let ends = (schedule.level(1000).λ, schedule.level(1).λ)
    let few = Set(
      (0..<100).map { i in
        let λ = ends.0 + (ends.1 - ends.0) * Double(i) / 99
        return schedule.timesteps.min { abs(schedule.level($0).λ - λ) < abs(schedule.level($1).λ - λ) } ?? 1
      }
    ).sorted(by: >)
    expect(try error(DDIM(), many), atMost: 1e-2, "DDIM, 1000 steps, Gaussian data")
    expect(try error(Euler(), many), atMost: 1e-2, "Euler, 1000 steps, Gaussian data")
    expect(try error(Heun(), few), atMost: 2e-3, "Heun, \(few.count) steps, Gaussian data")
    expect(try error(DPMSolverPlusPlus2M(), few), atMost: 2e-3, "DPM-Solver++ 2M, \(few.count) steps, Gaussian data")
    // Second order pays.
    #expect(try error(Heun(), few) < error(Euler(), few) / 5)
    #expect(try error(DPMSolverPlusPlus2M(), few) < error(DPMSolverPlusPlus2M(order: 1), few) / 5)
  }

  @Test func stochasticSamplersReturnTheData() throws {
    let shape = Images.Shape(4000, 2, 1, 1)
    let cases: [(String, any Sampler, ReverseVariance, [Timestep])] = [
      ("ancestral, fixed large", Ancestral(), .fixedLarge, schedule.timesteps.reversed()),
      ("ancestral, fixed small", Ancestral(), .fixedSmall, schedule.timesteps.reversed()),
      ("DDIM, η = 1", DDIM(eta: 1), .fixedSmall, try TimestepSpacing.trailing.timesteps(250, of: 1000)),
      ("Euler ancestral", EulerAncestral(), .fixedSmall, karras(200)),
      ("SDE-DPM-Solver++ 2M", DPMSolverPlusPlus(isStochastic: true), .fixedSmall, karras(60)),
      ("EDM", EDM(churn: 30, inflation: 1), .fixedSmall, karras(60)),
    ]
    for (name, sampler, variance, timesteps) in cases {
      let process = try ReverseProcess(schedule: schedule, variance: variance, limit: .none)
      let x = try sample(sampler, shape, timesteps, process)
      let (first, second) = (
        stride(from: 0, to: 8000, by: 2).map { x[$0] }, stride(from: 1, to: 8000, by: 2).map { x[$0] }
      )
      let (m0, m1) = (moments(first), moments(second))
      let covariance = zip(first, second).reduce(0) { $0 + ($1.0 - m0.mean) * ($1.1 - m1.mean) } / 3999
      // Five standard errors of the widest moment, √(2/4000)·0.5, and the discretisation.
      expect(
        data.error(mean: (m0.mean, m1.mean), covariance: (m0.variance, covariance, m1.variance)), atMost: 0.06,
        "\(name), Gaussian data")
    }
  }

  /// Levels as Karras et al. space them, most of them between two timesteps.
  private func karras(_ n: Int) -> [Timestep] {
    SigmaSpacing.karras.sigmas(n, from: schedule.level(1000).σ̄, to: schedule.level(1).σ̄)
      .map { schedule.timestep(sigmaBar: $0) }
  }

  private func sample(
    _ sampler: some Sampler, _ shape: Images.Shape, _ timesteps: [Timestep], _ process: ReverseProcess
  ) throws -> [Double] {
    var noise = CounterNoise(seed: 1)
    return try sampler.sample(
      shape: shape, timesteps: timesteps, process: process, denoiser: data, noise: &noise
    ).doubles
  }

  /// Algorithm 2 of the paper, written out.
  @Test func ancestralStepIsAlgorithm2() throws {
    let shape = Images.Shape(1, 2, 1, 1)
    let (xT, z) = (normals(shape, seed: 1), normals(shape, seed: 2))
    for t: Timestep in [1, 2, 500, 1000] {
      var noise = RecordedNoise(initial: xT, steps: [z])
      var steps: [Images] = []
      // From t alone: one step to t − 1, watched, and the rest of the way in one.
      let timesteps = t == 1 ? [t] : [t, t.previous]
      _ = try Ancestral().sample(
        shape: shape, timesteps: timesteps, process: process, denoiser: data, noise: &noise
      ) { steps.append($0.x) }
      let ε = data.predict(xT, at: [t], given: .none).doubles
      for i in 0..<2 {
        let (x, z) = (xT.doubles[i], t > 1 ? z.doubles[i] : 0)
        // x_{t−1} = (x_t − (1−α_t)/√(1−ᾱ_t) ε)/√α_t + σ_t z
        let expected =
          (x - (1 - schedule.α[t]) / (1 - schedule.ᾱ[t]).squareRoot() * ε[i]) / schedule.α[t].squareRoot()
          + schedule.β[t].squareRoot() * z
        #expect(abs(steps[0].doubles[i] - expected) < 1e-4)
      }
    }
  }

  /// What is one method under several names: in exact arithmetic these are DDIM without and with the ancestral noise.
  @Test func firstOrderSamplersAgree() throws {
    let shape = Images.Shape(2, 2, 3, 3)
    let timesteps = try TimestepSpacing.trailing.timesteps(20, of: 1000)
    let process = try ReverseProcess(schedule: schedule, variance: .fixedSmall, limit: .clip())
    let network = standInNetwork(learned: false)
    let run = { (sampler: any Sampler) throws -> [Double] in
      func go(_ sampler: some Sampler) throws -> [Double] {
        var noise = CounterNoise(seed: 3)
        return try sampler.sample(
          shape: shape, timesteps: timesteps, process: process, denoiser: network, noise: &noise
        ).doubles
      }
      return try go(sampler)
    }
    let ddim = try run(DDIM(rederivesNoise: true))
    for sampler in [
      Euler(), DPMSolverPlusPlus(order: 1), DPMSolverPlusPlusSinglestep(order: 1), DEIS(order: 1), LMS(order: 1),
      UniPC(order: 1, uncorrected: Set(0..<20)),
    ] as [any Sampler] {
      #expect(try relativeL2(run(sampler), ddim) < 1e-5, "\(sampler)")
    }
    let noisy = try run(DDIM(eta: 1, rederivesNoise: true))
    #expect(relativeL2(noisy, ddim) > 0.1)
    for sampler in [EulerAncestral(), DPMSolverPlusPlus(order: 1, isStochastic: true), Ancestral()] as [any Sampler] {
      #expect(try relativeL2(run(sampler), noisy) < 1e-5, "\(sampler)")
    }
    #expect(try run(EDM(churn: 0)) == run(Heun()))
  }

  /// Steps that leave two levels between the same timesteps draw different noise; at whole timesteps the counter is t, as ever.
  @Test func noiseKnowsTheLevelBetween() {
    let noise = CounterNoise(seed: 5)
    let shape = Images.Shape(1, 1, 2, 2)
    let (a, b) = (Timestep(position: 3.25, networkTime: 2), Timestep(position: 3.5, networkTime: 2))
    #expect(noise.stepNoise(leaving: a, shape: shape) != noise.stepNoise(leaving: b, shape: shape))
    #expect(
      noise.stepNoise(leaving: Timestep(position: 3, networkTime: 2), shape: shape)
        == noise.stepNoise(leaving: 3, shape: shape))
  }

  /// What a step's coefficients do is what the step does.
  @Test func coefficientsAreTheStep() throws {
    let (x, x0) = (normals(.init(1, 2, 1, 1), seed: 1), normals(.init(1, 2, 1, 1), seed: 2))
    let c = StepCoefficients(x: 0, predictions: [2, 0.5], z: -1)
    #expect(c(x, [x0, x], z: x0) == 2 * x0 + 0.5 * x + -1 * x0)
    #expect(StepCoefficients(x: 0, predictions: [0])(x, [x0]) == 0 * x)
    // Nothing that is infinite enters with coefficient 0.
    #expect(StepCoefficients(x: 0, predictions: [1])(Double.infinity, [3]) == 3)
  }

  @Test func inversionThenSamplingReturnsTheInput() throws {
    let x0 = 0.5 * normals(.init(4, 2, 1, 1), seed: 6)
    let roundTrip = { (steps: Int, refinements: Int) throws -> Double in
      let timesteps = try TimestepSpacing.trailing.timesteps(steps, of: 1000)
      var noise = CounterNoise(seed: 0)
      let xT = try DDIMInversion(refinements: refinements).sample(
        shape: x0.shape, timesteps: timesteps, process: process, denoiser: data, noise: &noise, start: x0)
      let back = try DDIM().sample(
        shape: x0.shape, timesteps: timesteps, process: process, denoiser: data, noise: &noise, start: xT)
      return relativeL2(back.doubles, x0.doubles)
    }
    expect(try roundTrip(1000, 0), atMost: 2e-2, "DDIM inversion, 1000 steps")
    expect(try roundTrip(50, 30), atMost: 1e-5, "DDIM inversion, 50 steps, refined")
  }

  /// Image i depends on (seed, i) alone, not on the batch it is made in.
  @Test func imagesDoNotDependOnTheBatch() throws {
    let network = standInNetwork(learned: false)
    let timesteps = try TimestepSpacing.leading.timesteps(10, of: 1000)
    let make = { (first: Int, count: Int, seed: UInt64) throws -> Images in
      var noise = CounterNoise(seed: seed, firstSample: first)
      return try Ancestral().sample(
        shape: .init(count, 3, 3, 3), timesteps: timesteps, process: process, denoiser: network, noise: &noise)
    }
    let all = try make(0, 5, 9)
    #expect(try make(0, 2, 9) == Images(joining: [all[sample: 0], all[sample: 1]]))
    #expect(try make(3, 1, 9) == all[sample: 3])
    #expect(all[sample: 0] != all[sample: 1])
    #expect(try make(0, 5, 10) != all)
  }

  @Test func progressShowsEveryStep() throws {
    struct Stop: Error {}
    let shape = Images.Shape(1, 2, 1, 1)
    let timesteps: [Timestep] = [900, 400, 20]
    var noise = CounterNoise(seed: 0)
    var seen: [SamplingProgress] = []
    let x0 = try DDIM().sample(
      shape: shape, timesteps: timesteps, process: process, denoiser: data, noise: &noise
    ) { seen.append($0) }
    #expect(seen.map(\.done) == [1, 2, 3] && seen.allSatisfy { $0.count == 3 })
    #expect(seen.map(\.transition) == [.init(from: 900, to: 400), .init(from: 400, to: 20), .init(from: 20, to: 0)])
    #expect(seen.last?.x == x0)
    #expect(throws: Stop.self) {
      try DDIM().sample(shape: shape, timesteps: timesteps, process: process, denoiser: data, noise: &noise) {
        if $0.done == 2 { throw Stop() }
      }
    }
  }

  /// A step in which a prediction fails was not taken: taken again, it leads where it would have led.
  @Test(arguments: SamplerOrderTests.cases) func aStepThatFailsCanBeTakenAgain(_ test: SamplerOrderTests.Case) throws {
    struct Lost: Error {}
    func end(_ sampler: some Sampler, failing: Set<Int>) throws -> Images {
      var calls = 0
      let denoiser = DenoiserFunction { xt, t in
        calls += 1
        if failing.contains(calls) { throw Lost() }
        return try data.predict(xt, at: t)
      }
      var walk = SamplingWalk(
        from: normals(.init(2, 2, 1, 1), seed: 3), timesteps: (0..<7).map { Timestep(976 - 128 * $0) },
        process: process, sampler: sampler, denoiser: denoiser, noise: CounterNoise(seed: 4))
      while walk.done < walk.transitions.count { do { _ = try walk.next() } catch is Lost {} }
      return walk.x
    }
    #expect(try end(test.sampler, failing: [1, 3, 6, 11, 17, 24]) == end(test.sampler, failing: []))
  }

  @Test func shortRecordingsAreErrors() throws {
    let shape = Images.Shape(1, 2, 1, 1)
    var noise = RecordedNoise(initial: normals(shape, seed: 1), steps: [])
    #expect(throws: RecordedNoiseError.exhausted(0, 900)) {
      try Ancestral().sample(shape: shape, timesteps: [900, 20], process: process, denoiser: data, noise: &noise)
    }
    #expect(throws: RecordedNoiseError.shape(shape, wanted: .init(2, 2, 1, 1))) {
      try Ancestral().sample(
        shape: .init(2, 2, 1, 1), timesteps: [20], process: process, denoiser: data, noise: &noise)
    }
  }
}
