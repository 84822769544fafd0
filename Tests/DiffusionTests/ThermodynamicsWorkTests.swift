import Diffusion
import Platform
import TestSupport
import Testing

/// A model all of whose steps are linear and Gaussian, so that p_θ(x_0), and every path's law, is known: the best denoiser of one Gaussian
/// with a reverse variance that is not the best.
struct LinearModel {
  let schedule: NoiseSchedule
  let process: ReverseProcess
  let data = DiagonalGaussian(m: [0.2], λ: [0.25])
  let denoiser: ExactDenoiser<GaussianMixture>
  /// μ_θ(x_t) = slope x_t + offset and σ², at index t.
  var slope = [0.0], offset = [0.0], σ² = [0.0]

  init(T: Int = 8, variance: ReverseVariance = .fixedLarge) throws {
    schedule = try NoiseSchedule(.linear(from: 0.02, to: 0.6), T: T)
    process = try ReverseProcess(schedule: schedule, variance: variance, limit: .none)
    let mixture = try GaussianMixture([.init(mean: data.m, covariance: .isotropic(data.λ[0]))])
    denoiser = ExactDenoiser(mixture, schedule: schedule, predictsVariance: variance == .learned)
    for t in schedule.timesteps {
      let ᾱ = schedule.ᾱ[t]
      let gain = ᾱ.squareRoot() * data.λ[0] / data.v(ᾱ)[0]
      let posterior = schedule.posterior(t)
      // x̂_0 = m + gain (x_t − √ᾱ m) in μ̃(x_t, x̂_0)
      slope.append(posterior.x0Coefficient * gain + posterior.xtCoefficient)
      offset.append(posterior.x0Coefficient * (data.m[0] - gain * ᾱ.squareRoot() * data.m[0]))
      let c = posterior.x0Coefficient
      σ².append(
        variance == .learned
          ? schedule.posteriorVariance(t) + c * c * data.λ[0] * (1 - ᾱ) / data.v(ᾱ)[0]
          : exp(process.fixedLogVariance(at: t)))
    }
  }

  /// Mean and covariance of p_θ(x_T, …, x_0), in that order.
  var joint: (mean: [Double], covariance: [[Double]]) {
    let T = schedule.T
    var mean = [0.0]
    var rows = [[1.0]]
    for t in stride(from: T, through: 1, by: -1) {
      mean.append(slope[t] * mean[mean.count - 1] + offset[t])
      let last = rows[rows.count - 1].map { slope[t] * $0 }
      let variance = slope[t] * slope[t] * rows[rows.count - 1][rows.count - 1] + σ²[t]
      for i in rows.indices { rows[i].append(last[i]) }
      rows.append(last + [variance])
    }
    return (mean, rows)
  }

  /// ln p_θ(x_0).
  func logLikelihood(_ x0: Double) -> Double {
    let (mean, covariance) = joint
    let (m, v) = (mean[schedule.T], covariance[schedule.T][schedule.T])
    return -0.5 * (log(2 * .pi * v) + (x0 - m) * (x0 - m) / v)
  }

  /// p_θ(x_T, …, x_1 | x_0).
  func conditioned(on x0: Double) -> (mean: [Double], covariance: [[Double]]) {
    let (mean, covariance) = joint
    let T = schedule.T
    let column = (0..<T).map { covariance[$0][T] / covariance[T][T] }
    return (
      (0..<T).map { mean[$0] + column[$0] * (x0 - mean[T]) },
      (0..<T).map { i in (0..<T).map { covariance[i][$0] - column[i] * covariance[T][$0] } }
    )
  }

  /// q(x_T, …, x_1 | x_0).
  func forward(_ x0: Double) -> (mean: [Double], covariance: [[Double]]) {
    let steps: [Timestep] = schedule.timesteps.reversed()
    // Cov(x_s, x_t) = √(ᾱ_t/ᾱ_s) (1 − ᾱ_s), s ≤ t
    let covariance = steps.map { t in
      steps.map { s -> Double in
        let (early, late) = (min(s, t), max(s, t))
        return (schedule.ᾱ[late] / schedule.ᾱ[early]).squareRoot() * (1 - schedule.ᾱ[early])
      }
    }
    return (steps.map { schedule.sqrtᾱ[$0] * x0 }, covariance)
  }

  /// L of one x_0 in its KL form: three nodes for ε are exact, since all terms are squares of linear functions.
  func bound(_ x0: Double) throws -> Double {
    let bound = VariationalBound(process, decoder: .density)
    let images = Images(shape: .init(3, 1, 1, 1), scalars: [Float](repeating: Float(x0), count: 3))
    let ε = Images(shape: images.shape, scalars: hermite.map { Float($0.z) })
    return try schedule.timesteps.reduce(bound.prior(images)[0]) { sum, t in
      let all = [Timestep](repeating: t, count: 3)
      let output = try denoiser.predict(ForwardProcess(schedule).noised(images, at: t, epsilon: ε), at: all)
      return sum
        + zip(bound.terms(images, epsilon: ε, output: output, at: all), hermite).reduce(0) {
          $0 + $1.0.nats * $1.1.weight
        }
    }
  }

  /// Paths from q, all from one x_0.
  func work(_ x0: Double, paths: Int, seed: UInt64) throws -> WorkStatistics {
    var noise = CounterNoise(seed: seed, stream: .evaluation)
    let images = Images(repeating: Float(x0), shape: .init(paths, 1, 1, 1))
    return WorkStatistics(try PathWork(process).measure(images, denoiser: denoiser, noise: &noise))
  }
}

@Suite struct ThermodynamicsWorkTests {
  let model: LinearModel
  let x0 = Double(Float(0.6))

  init() throws { model = try LinearModel() }

  @Test func jarzynskiGivesTheLikelihood() throws {
    let work = try model.work(x0, paths: 20_000, seed: 1)
    let exact = model.logLikelihood(x0)
    // e^{−w} varies little here: the mean is good.
    expect(
      abs(work.logLikelihood.value - exact), atMost: 5 * work.logLikelihood.error, "ln ⟨e^{−w}⟩ against ln p_θ(x_0)")
    expect(work.logLikelihood.error, atMost: 0.01, "the standard error of ln ⟨e^{−w}⟩")
  }

  /// The path form of the bound is its KL form.
  @Test func meanWorkIsTheBound() throws {
    let work = try model.work(x0, paths: 20_000, seed: 2)
    expect(try abs(work.mean.value - model.bound(x0)), atMost: 5 * work.mean.error, "⟨w⟩ against L")
    // Over data too.
    let x0 = normals(.init(3000, 1, 1, 1), seed: 3).map { 0.2 + 0.5 * $0 }
    var noise = CounterNoise(seed: 4, stream: .evaluation)
    let paths = Measured(mean: try PathWork(model.process).measure(x0, denoiser: model.denoiser, noise: &noise))
    let bound = Measured(
      mean: try VariationalBound(model.process, decoder: .density).bounds(
        x0, denoiser: model.denoiser, noise: CounterNoise(seed: 5, stream: .evaluation)))
    #expect(abs(paths.value - bound.value) < 5 * (paths.error + bound.error))
  }

  /// Pixels: the decoder's probabilities enter the work as they enter L_0.
  @Test func discretisedWorkIsTheBound() throws {
    let schedule = try NoiseSchedule(.linear(from: 0.01, to: 0.7), T: 6)
    let process = try ReverseProcess(schedule: schedule, variance: .learnedRange)
    let network = standInNetwork(learned: true)
    let x0 = normals(.init(1, 1, 2, 2), seed: 6).map { (0.5 * $0).rounded() / 127.5 + 0.0039215 }
    let many = Images(joining: (0..<4000).map { _ in x0 })
    var noise = CounterNoise(seed: 7, stream: .evaluation)
    let work = Measured(
      mean: try PathWork(process, decoder: .discretized).measure(many, denoiser: network, noise: &noise))
    let bound = Measured(
      mean: try VariationalBound(process).bounds(
        many, denoiser: network, noise: CounterNoise(seed: 8, stream: .evaluation)))
    #expect(abs(work.value - bound.value) < 5 * (work.error + bound.error), "\(work), \(bound)")
  }

  @Test func boundsFallWithTheSamples() throws {
    let work = try model.work(x0, paths: 16_384, seed: 9)
    let bounds = [1, 4, 16, 64, 256].map { work.bound(samples: $0).value }
    #expect(zip(bounds, bounds.dropFirst()).allSatisfy { $0 > $1 }, "\(bounds)")
    #expect(bounds[0] == work.mean.value)
    let last = work.bound(samples: 256)
    #expect(last.value > -model.logLikelihood(x0) - 5 * last.error)
    expect(last.value + model.logLikelihood(x0), atMost: 0.01, "the 256-sample bound above −ln p_θ(x_0)")
  }

  /// What the bound loses is the divergence of the paths.
  @Test func dissipatedWorkIsTheDivergenceOfPaths() throws {
    let (q, p) = (model.forward(x0), model.conditioned(on: x0))
    let (a, b) = (Cholesky(q.covariance), Cholesky(p.covariance))
    // KL = ½ (tr P⁻¹Q + (m_p − m_q)ᵀ P⁻¹ (m_p − m_q) − T + ln det P − ln det Q)
    let n = q.mean.count
    let trace = (0..<n).reduce(0) { sum, j in sum + b.solve(q.covariance.map { $0[j] })[j] }
    let shift = b.half(zip(p.mean, q.mean).map { $0 - $1 }).reduce(0) { $0 + $1 * $1 }
    let divergence = 0.5 * (trace + shift - Double(n) + b.logDeterminant - a.logDeterminant)
    expect(
      try abs(model.bound(x0) + model.logLikelihood(x0) - divergence), atMost: 1e-5,
      "L + ln p_θ against KL of the paths, \(divergence) nats")
    let work = try model.work(x0, paths: 20_000, seed: 10)
    let error = work.mean.error + work.logLikelihood.error
    expect(abs(work.dissipated - divergence), atMost: 5 * error, "⟨w⟩ + ln ⟨e^{−w}⟩ against KL of the paths")
    #expect(divergence > 0.05)
  }

  /// Over data: L − H(x_0) = KL(q_T ‖ π) + Σ E KL(q(x_{t−1} | x_t) ‖ p_θ(x_{t−1} | x_t)); with the exact kernels nothing but the first.
  @Test(arguments: [ReverseVariance.fixedLarge, .fixedSmall, .learned])
  func theBoundLosesWhatTheStepsDissipate(_ variance: ReverseVariance) throws {
    let model = try LinearModel(variance: variance)
    let (data, schedule) = (model.data, model.schedule)
    let L = try hermite.reduce(0) { $0 + $1.weight * (try model.bound(Double(Float(0.2 + 0.5 * $1.z)))) }
    let exact = try LinearModel(variance: .learned)
    // The mean is exact in all of them, so each step loses by its variance alone.
    let steps = schedule.timesteps.reduce(0) {
      $0
        + gaussianKL(mean1: 0, logVariance1: log(exact.σ²[$1.number]), mean2: 0, logVariance2: log(model.σ²[$1.number]))
    }
    let prior = data.divergence(schedule.ᾱ[schedule.last])
    expect(abs(L - data.entropy(1) - prior - steps), atMost: 1e-6, "L − H(x_0), \(variance.rawValue)")
    if variance == .learned { #expect(steps == 0) } else { #expect(steps > 0.05) }
  }

  @Test func crooksHasSlopeOne() throws {
    let n = 6000
    let shape = Images.Shape(n, 1, 1, 1)
    let forward = try model.work(x0, paths: n, seed: 11).work
    // Paths from the model, given where they end.
    let (mean, covariance) = model.conditioned(on: x0)
    let root = Cholesky(covariance)
    let T = model.schedule.T
    let z = normals(.init(n, T, 1, 1), seed: 12)
    let paths = (0..<n).map { i in zip(mean, root.times(z[sample: i].doubles)).map { $0 + $1 } }
    let path = [[Double](repeating: x0, count: n)] + (1...T).map { t in paths.map { $0[T - t] } }
    let reverse = try PathWork(model.process).work(along: path, shape: shape, denoiser: model.denoiser)
    let fit = CrooksFit(forward: forward, reverse: reverse)
    expect(abs(fit.slope.value - 1), atMost: 4 * fit.slope.error, "Crooks's slope, less 1")
    expect(fit.slope.error, atMost: 0.08, "the slope's standard error")
    expect(abs(fit.freeEnergy.value + model.logLikelihood(x0)), atMost: 4 * fit.freeEnergy.error, "Crooks's ΔF")
    // Under the reverse paths work is less than ΔF in the mean, under the forward ones more.
    #expect(Measured(mean: reverse).value < -model.logLikelihood(x0))
    #expect(Measured(mean: forward).value > -model.logLikelihood(x0))
    // Swapped, it runs the other way.
    #expect(CrooksFit(forward: reverse, reverse: forward).slope.value < 0)
  }

  /// The work of a recorded path is the work measured while it was walked.
  @Test func workOfAPathIsWhatWasMeasured() throws {
    let x0 = normals(.init(5, 1, 1, 1), seed: 13)
    var noise = CounterNoise(seed: 14, stream: .evaluation)
    let measured = try PathWork(model.process).measure(x0, denoiser: model.denoiser, noise: &noise)
    var path = [x0.doubles]
    for t in model.schedule.timesteps {
      let z = noise.stepNoise(leaving: t, shape: x0.shape).doubles
      path.append(
        zip(path[path.count - 1], z).map {
          model.schedule.α[t].squareRoot() * $0 + model.schedule.β[t].squareRoot() * $1
        })
    }
    let work = try PathWork(model.process).work(along: path, shape: x0.shape, denoiser: model.denoiser)
    #expect(zip(work, measured).allSatisfy { abs($0 - $1) < 1e-9 })
  }
}

extension VariationalBound {
  /// L of each sample by its KL form, nats a dimension: the prior and all T terms.
  fileprivate func nats<Noise: NoiseSource>(
    _ x0: Images, denoiser: some Denoiser, noise: inout Noise
  ) throws -> [Double] {
    var sums = prior(x0)
    for t in process.schedule.timesteps {
      let ε = try noise.stepNoise(leaving: t, shape: x0.shape)
      let all = [Timestep](repeating: t, count: x0.shape.count)
      let xt = ForwardProcess(process.schedule).noised(x0, at: t, epsilon: ε)
      let terms = terms(x0, epsilon: ε, output: try denoiser.predict(xt, at: all), at: all)
      for (n, term) in terms.enumerated() { sums[n] += term.nats }
    }
    return sums
  }
}
