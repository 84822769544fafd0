import Diffusion
import Platform
import TestSupport
import Testing

@Suite struct ThermodynamicsSpacingTests {
  let schedule: NoiseSchedule
  let data = DiagonalGaussian(m: [0], λ: [0.25])

  init() throws { schedule = try NoiseSchedule() }

  private func produced(_ schedule: NoiseSchedule) -> [Double] {
    schedule.timesteps.map { data.divergence(schedule.ᾱ[$0.previous]) - data.divergence(schedule.ᾱ[$0]) }
  }

  @Test func levelsShareEqually() throws {
    let amounts = produced(schedule)
    let (whole, largest) = (amounts.reduce(0, +), amounts.max() ?? 0)
    for n in [1, 5, 10, 20] {
      let levels = try TimestepSpacing.sharing(amounts, into: n)
      #expect(levels.count == n && levels[0] == 1000 && zip(levels, levels.dropFirst()).allSatisfy { $0 > $1 })
      for (t, s) in zip(levels, levels.dropFirst() + [.data]) {
        let share = amounts[s.number..<t.number].reduce(0, +)
        #expect(abs(share - whole / Double(n)) <= largest + 1e-12, "\(n): \(t) → \(s)")
      }
    }
  }

  @Test func levelsStayApart() throws {
    // All of it in one step: the others have to be somewhere.
    #expect(try TimestepSpacing.sharing([0, 0, 1, 0, 0, 0], into: 4) == [6, 3, 2, 1])
    #expect(try TimestepSpacing.sharing([1, 0, 0, 0], into: 4) == [4, 3, 2, 1])
    #expect(try TimestepSpacing.sharing([0, 0, 0, 1], into: 3) == [4, 3, 1])
    #expect(try TimestepSpacing.sharing([1, 1, 1, 1], into: 2) == [4, 2])
    #expect(try TimestepSpacing.sharing([0, 0, 0], into: 3) == [3, 2, 1])
    #expect(throws: SpacingError.count(5, T: 4)) { try TimestepSpacing.sharing([1, 1, 1, 1], into: 5) }
    #expect(throws: SpacingError.count(0, T: 4)) { try TimestepSpacing.sharing([1, 1, 1, 1], into: 0) }
  }

  @Test func scheduleSharesEqually() throws {
    let amounts = produced(schedule)
    for T in [4, 50, 400] {
      let shared = try schedule.sharing(amounts, T: T)
      #expect(shared.T == T && abs(shared.ᾱ[shared.last] - schedule.ᾱ[1000]) < 1e-15)
      let shares = produced(shared)
      let mean = shares.reduce(0, +) / Double(T)
      // What it is between two t is interpolated.
      let worst = shares.reduce(0) { max($0, abs($1 / mean - 1)) }
      expect(worst, atMost: T < 400 ? 0.02 : 0.1, "shares of production, T = \(T), off the mean by")
    }
    // To zero SNR.
    let zero = try NoiseSchedule(zeroTerminalSNR: true)
    let shared = try zero.sharing(produced(zero), T: 10)
    #expect(shared.ᾱ[10] == 0 && shared.β.values.dropFirst().allSatisfy { $0 > 0 && $0 <= 1 })
    #expect(throws: ScheduleError.self) { try NoiseSchedule(T: 4, rescaled: false).sharing([0, 1, 0, 0], T: 0) }
  }

  /// Whole levels at Karras's σ̄: its values where they are far apart, and none twice where they are not.
  @Test func wholeLevelsFollowASpacingOfNoise() throws {
    let schedule = try NoiseSchedule()
    for n in [1, 5, 50, 1000] {
      let levels = try schedule.timesteps(n, spaced: .karras)
      #expect(levels.count == n && levels[0] == 1000 && zip(levels, levels.dropFirst()).allSatisfy { $0 > $1 })
      if n > 1 { #expect(levels[n - 1] == 1) }
    }
    let σ̄ = { (t: Timestep) in ((1 - schedule.ᾱ[t]) / schedule.ᾱ[t]).squareRoot() }
    let levels = try schedule.timesteps(5, spaced: .karras)
    for i in 0..<5 {
      // σ̄_i = (σ̄_T^{1/7} + i/4 (σ̄_1^{1/7} − σ̄_T^{1/7}))^7
      let wanted = pow(
        pow(σ̄(1000), 1.0 / 7) + Double(i) / 4 * (pow(σ̄(1), 1.0 / 7) - pow(σ̄(1000), 1.0 / 7)), 7)
      #expect(abs(log(σ̄(levels[i]) / wanted)) < 0.05, "level \(i): \(levels[i])")
    }
    #expect(throws: SpacingError.count(1001, T: 1000)) { try schedule.timesteps(1001, spaced: .karras) }
  }

  /// Every list of levels, tried.
  @Test func bestPathsMatchBruteForce() throws {
    let T = 8
    let random = CounterNoise(seed: 1, stream: .decoder).uniforms(shape: .init(1, T + 1, T + 1, 1)).map(Double.init)
    let cost = { (t: Int, s: Int) in random[t * (T + 1) + s] + 0.3 * Double(t - s) }
    let total = { (path: [Int]) in zip(path, path.dropFirst() + [0]).reduce(0) { $0 + cost($1.0, $1.1) } }
    let paths = bestPaths(T: T, upTo: T, cost: cost)
    for K in 1...T {
      var least = Double.infinity
      for subset in 0..<(1 << (T - 1)) where subset.nonzeroBitCount == K - 1 {
        least = min(least, total([T] + (1..<T).filter { subset >> ($0 - 1) & 1 == 1 }.reversed()))
      }
      let path = paths[K - 1]
      #expect(path.count == K && path[0] == T && zip(path, path.dropFirst()).allSatisfy { $0 > $1 })
      #expect(abs(total(path) - least) < 1e-12, "K = \(K)")
    }
  }

  /// The terms of the full chain are the bound's, and the best levels beat the usual ones.
  @Test(arguments: [ReverseVariance.fixedSmall, .fixedLarge]) func respacedTermsAreTheBounds(
    _ variance: ReverseVariance
  ) throws {
    let schedule = try NoiseSchedule(T: 100, rescaled: true)
    let process = try ReverseProcess(schedule: schedule, variance: variance, limit: .none)
    let mixture = try GaussianMixture([.init(mean: [0], covariance: .isotropic(0.25))])
    let denoiser = ExactDenoiser(mixture, schedule: schedule)
    let x0 = Images(shape: .init(9, 1, 1, 1), scalars: hermite.flatMap { a in hermite.map { _ in Float(0.5 * a.z) } })
    let ε = Images(shape: x0.shape, scalars: hermite.flatMap { _ in hermite.map { Float($0.z) } })
    let weights = hermite.flatMap { a in hermite.map { a.weight * $0.weight } }
    let bound = VariationalBound(process, decoder: .density)
    let terms = try schedule.timesteps.map { t in
      let all = [Timestep](repeating: t, count: 9)
      let output = try denoiser.predict(ForwardProcess(schedule).noised(x0, at: t, epsilon: ε), at: all)
      return zip(bound.terms(x0, epsilon: ε, output: output, at: all), weights).reduce((nats: 0.0, x0: 0.0)) {
        ($0.nats + $1.1 * $1.0.nats, $0.x0 + $1.1 * $1.0.x0Error)
      }
    }
    let respaced = RespacedBound(process, dimension: 1, x0Errors: terms.map(\.x0))
    let worst = schedule.timesteps.reduce(0.0) {
      max($0, abs(respaced.term(from: $1, to: $1.previous) - terms[$1.number - 1].nats))
    }
    expect(worst, atMost: 1e-9, "L(t → t − 1) against the bound's terms, \(variance.rawValue)")
    #expect(abs(respaced.total(schedule.timesteps.reversed()) - terms.reduce(0) { $0 + $1.nats }) < 1e-8)

    let best = respaced.best(upTo: 20)
    let production = schedule.timesteps.map {
      data.divergence(schedule.ᾱ[$0.previous]) - data.divergence(schedule.ᾱ[$0])
    }
    for n in [5, 10, 20] {
      let least = respaced.total(best[n - 1])
      let others = try [
        TimestepSpacing.linspace.timesteps(n, of: 100), TimestepSpacing.trailing.timesteps(n, of: 100),
        TimestepSpacing.sharing(production, into: n),
      ].map { respaced.total($0) }
      for other in others { #expect(least <= other + 1e-12, "\(n) steps") }
    }
  }
}
