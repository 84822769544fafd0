import Diffusion
import Platform
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct ProcessTests {
  let schedule: NoiseSchedule

  init() throws { schedule = try NoiseSchedule(T: 50, rescaled: true) }

  /// Steps of the chain compose to the closed form: mean √ᾱ_t x_0 and variance 1 − ᾱ_t, exactly.
  @Test func closedFormIsTheChainByInduction() {
    var (mean, variance) = (0.7, 0.0)
    for t in schedule.timesteps {
      mean *= (1 - schedule.β[t]).squareRoot()
      variance = (1 - schedule.β[t]) * variance + schedule.β[t]
      let marginal = ForwardProcess(schedule).marginal(0.7, at: t)
      #expect(abs(marginal.mean - mean) < 1e-14)
      #expect(abs(marginal.variance - variance) < 1e-14)
    }
  }

  /// Over many draws, the chain's mean and variance are the closed form's within five standard errors.
  @Test func chainMatchesTheClosedFormInDistribution() {
    let x0 = Images(repeating: 0.7, shape: .init(1, 1, 100, 200))
    let noise = CounterNoise(seed: 4)
    let forward = ForwardProcess(schedule)
    let check = { (x: Images, t: Timestep) in
      let (mean, variance) = moments(x.doubles)
      let expected = forward.marginal(0.7, at: t)
      let n = Double(x.scalars.count)
      #expect(abs(mean - expected.mean) < 5 * (expected.variance / n).squareRoot())
      #expect(abs(variance - expected.variance) < 5 * expected.variance * (2 / n).squareRoot())
    }
    var x = x0
    for t in schedule.timesteps {
      x = forward.step(x, to: t, epsilon: noise.stepNoise(leaving: t, shape: x.shape))
      if t.number % 10 == 0 || t == 1 { check(x, t) }
    }
    for t: Timestep in [1, 20, 50] { check(forward.noised(x0, at: t, epsilon: normals(x0.shape, seed: 5)), t) }
  }

  /// x_t = √ᾱ_t x_0 + Σ_s √(ᾱ_t/ᾱ_s) √β_s ε_s, and the squares of the noises' weights add up to 1 − ᾱ_t.
  @Test func theChainIsAnExplicitSum() {
    let shape = Images.Shape(1, 1, 2, 2)
    let x0 = normals(shape, seed: 1)
    let noise = CounterNoise(seed: 4)
    var (x, ε) = (x0, [Images]())
    for t in schedule.timesteps {
      ε.append(noise.stepNoise(leaving: t, shape: shape))
      x = ForwardProcess(schedule).step(x, to: t, epsilon: ε[t.zeroBased])
      let weights = (1...t.number).map { Timestep($0) }.map { s in
        (schedule.ᾱ[t] / schedule.ᾱ[s]).squareRoot() * schedule.β[s].squareRoot()
      }
      let sum = zip(weights, ε).reduce(schedule.sqrtᾱ[t] * x0) { $0 + $1.0 * $1.1 }
      #expect(relativeL2(x.doubles, sum.doubles) < 1e-5)
      #expect(abs(weights.reduce(0) { $0 + $1 * $1 } - (1 - schedule.ᾱ[t])) < 1e-12)
    }
  }

  /// Given x_{t−1}, x_t says nothing more of x_0: their partial correlation is 0. An independent draw of x_t from the closed form, which has
  /// the same distribution, does.
  @Test func theChainIsMarkov() {
    let t: Timestep = 10
    let forward = ForwardProcess(schedule)
    let shape = Images.Shape(1, 1, 100, 200)
    let x0 = normals(shape, seed: 1)
    let previous = forward.noised(x0, at: t.previous, epsilon: normals(shape, seed: 2))
    let product = { (a: [Double], b: [Double]) in zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    let partialCorrelation = { (xt: Images) in
      let given = previous.doubles
      let residual = { (x: [Double]) in
        let slope = product(x, given) / product(given, given)
        return zip(x, given).map { $0 - slope * $1 }
      }
      let (a, b) = (residual(xt.doubles), residual(x0.doubles))
      return product(a, b) / (product(a, a) * product(b, b)).squareRoot()
    }
    let standardError = 1 / 20_000.0.squareRoot()
    #expect(
      abs(partialCorrelation(forward.step(previous, to: t, epsilon: normals(shape, seed: 3)))) < 5 * standardError)
    #expect(partialCorrelation(forward.noised(x0, at: t, epsilon: normals(shape, seed: 4))) > 20 * standardError)
  }

  /// ODE solvers divide by √ᾱ: a level without signal gets some, and no other level is touched.
  @Test func onlyALevelWithoutSignalIsMadeFinite() throws {
    let cosine = try NoiseSchedule(.cosine())
    #expect(cosine.ᾱ[1000] < 0x1p-24)
    for t in cosine.timesteps { #expect(cosine.finiteLevel(t) == cosine.level(t)) }
    let zero = try NoiseSchedule(zeroTerminalSNR: true)
    #expect(zero.finiteLevel(999) == zero.level(999))
    #expect(zero.finiteLevel(1000).sqrtᾱ == 0x1p-12 && zero.finiteLevel(1000).σ̄.isFinite)
    // x̂_0 is read by the schedule's own level, unless another is given.
    let process = try ReverseProcess(schedule: zero, prediction: .velocity, limit: .none)
    let (v, x) = (normals(.init(1, 1, 2, 2), seed: 1), normals(.init(1, 1, 2, 2), seed: 2))
    #expect(process.denoised(v, xt: x, at: 1000).x0 == -1.0 * v)
    let finite = process.denoised(v, xt: x, at: 1000, level: zero.finiteLevel(1000)).x0
    #expect(finite == zero.finiteLevel(1000).x0(v: v, xt: x) && finite != -1.0 * v)
  }

  @Test func eachSampleHasItsOwnTimestep() {
    let shape = Images.Shape(3, 2, 2, 2)
    let (x0, ε) = (normals(shape, seed: 1), normals(shape, seed: 2))
    let t: [Timestep] = [1, 25, 50]
    let xt = ForwardProcess(schedule).noised(x0, at: t, epsilon: ε)
    for n in 0..<3 {
      #expect(xt[sample: n] == ForwardProcess(schedule).noised(x0[sample: n], at: t[n], epsilon: ε[sample: n]))
    }
  }

  /// q(x_s | x_t, x_0) ∝ q(x_t | x_s) q(x_s | x_0), normalised on a grid.
  @Test(arguments: [(2, 1), (10, 9), (50, 49), (30, 10), (50, 1)]) func posteriorIsBayesRule(_ t: Int, _ s: Int) {
    let (t, s) = (Timestep(t), Timestep(s))
    let (x0, xt) = (0.4, -0.3)
    let (α, β) = schedule.transition(from: s, to: t)
    let prior = ForwardProcess(schedule).marginal(x0, at: s)
    let mean = schedule.posterior(t, to: s).mean(x0: x0, xt: xt)
    let variance = schedule.posteriorVariance(t, to: s)

    var (mass, first, second) = (0.0, 0.0, 0.0)
    for i in -40_000...40_000 {
      let x = mean + Double(i) / 4000 * variance.squareRoot()
      let a = xt - α.squareRoot() * x
      let b = x - prior.mean
      // Relative to the exponent at the mean, so that nothing underflows.
      let c = xt - α.squareRoot() * mean
      let d = mean - prior.mean
      let p = exp(-(a * a - c * c) / (2 * β) - (b * b - d * d) / (2 * prior.variance))
      mass += p
      first += p * x
      second += p * (x - mean) * (x - mean)
    }
    #expect(abs(first / mass - mean) < 1e-10)
    #expect(abs(second / mass / variance - 1) < 1e-8)
  }

  /// At t = 1 the posterior is x_0 itself, and the likelihood borrows the width of t = 2.
  @Test func posteriorOfTheFirstStep() {
    let posterior = schedule.posterior(1)
    #expect(abs(posterior.x0Coefficient - 1) < 1e-12 && posterior.xtCoefficient == 0)
    #expect(schedule.posteriorVariance(1) == 0)
    #expect(schedule.posteriorLogVariance(1) == log(schedule.posteriorVariance(2)))
  }

  /// Every prediction's target, read back, is the x_0 and ε that made x_t.
  @Test(arguments: Prediction.allCases) func conversionsAreInverse(_ prediction: Prediction) {
    for t: Timestep in [1, 2, 25, 50] {
      let (level, posterior) = (schedule.level(t), schedule.posterior(t))
      let (x0, ε) = (0.37, -1.21)
      let xt = level.xt(x0: x0, epsilon: ε)
      let target = prediction.target(x0: x0, epsilon: ε, xt: xt, level: level, posterior: posterior)
      #expect(abs(prediction.x0(target, xt: xt, level: level, posterior: posterior) - x0) < 1e-10)
      // At t = 1 the mean is x_0 to rounding, and ε is what is left of x_t.
      #expect(abs(prediction.epsilon(target, xt: xt, level: level, posterior: posterior) - ε) < 1e-10)
    }
  }

  /// The mean in terms of ε: μ = (x_t − β_t/√(1−ᾱ_t) ε)/√α_t. Not β_t/√ᾱ_t.
  @Test func meanFromNoise() throws {
    let process = try ReverseProcess(schedule: schedule, limit: .none)
    let shape = Images.Shape(1, 1, 2, 2)
    let (xt, ε) = (normals(shape, seed: 1), normals(shape, seed: 2))
    for t: Timestep in [1, 2, 25, 50] {
      let μ = process.mean(process.denoised(ε, xt: xt, at: t), xt: xt, at: t)
      for i in xt.scalars.indices {
        let direct =
          (Double(xt.scalars[i]) - schedule.β[t] / (1 - schedule.ᾱ[t]).squareRoot() * Double(ε.scalars[i]))
          / schedule.α[t].squareRoot()
        #expect(abs(Double(μ.scalars[i]) - direct) < 2e-5)
      }
    }
  }

  @Test func limitsActBeforeTheMean() throws {
    let shape = Images.Shape(1, 1, 1, 4)
    let output = Images(shape: shape, scalars: [3, -2, 0.5, 1])
    let xt = Images(repeating: 0, shape: shape)
    for (limit, expected) in [
      (X0Limit.none, [3, -2, 0.5, 1]), (.clip(), [1, -1, 0.5, 1]), (.clip(2), [2, -2, 0.5, 1]),
      // The 0.5 quantile of |x| = {0.5, 1, 2, 3} is 1.5.
      (.dynamic(ratio: 0.5, maximum: 10), [1, -1, 1 / 3, 2 / 3]), (.dynamic(ratio: 0.5, maximum: 1), [1, -1, 0.5, 1]),
    ] as [(X0Limit, [Float])] {
      let process = try ReverseProcess(schedule: schedule, prediction: .sample, limit: limit)
      let denoised = process.denoised(output, xt: xt, at: 10)
      #expect(denoised.x0.scalars == expected)
      let c = Float(schedule.posterior(10).x0Coefficient)
      #expect(process.mean(denoised, xt: xt, at: 10).scalars == expected.map { c * $0 })
    }
  }

  @Test func variancesFollowTheirDefinitions() throws {
    let shape = Images.Shape(1, 1, 1, 3)
    let second: [Float] = [-1, 0, 1]
    let output = Images(shape: .init(1, 2, 1, 3), scalars: [0, 0, 0] + second)
    let xt = Images(repeating: 0, shape: shape)
    let (logβ̃, logβ) = (log(schedule.posteriorVariance(7)), log(schedule.β[7]))
    let logVariance = { (variance: ReverseVariance) throws -> LogVariance in
      let process = try ReverseProcess(schedule: schedule, variance: variance)
      let denoised = process.denoised(variance.isLearned ? output : xt, xt: xt, at: 7)
      return process.logVariance(denoised, at: 7)
    }
    #expect(try logVariance(.fixedSmall) == .uniform(logβ̃))
    #expect(try logVariance(.fixedLarge) == .uniform(logβ))
    #expect(try logVariance(.learned) == .each(Images(shape: shape, scalars: second)))
    #expect(
      try logVariance(.learnedRange)
        == .each(Images(shape: shape, scalars: [Float(logβ̃), Float((logβ̃ + logβ) / 2), Float(logβ)])))
  }
}
