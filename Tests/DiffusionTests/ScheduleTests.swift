import Diffusion
import Platform
import TestSupport
import Testing

@Suite struct ScheduleTests {
  private func named(_ name: String) throws -> BetaSchedule {
    BetaSchedule(try #require(BetaSchedule.Name(alias: name)))
  }

  struct Tables: Decodable {
    let betas, alphas_cumprod, posterior_variance, posterior_mean_coef_x0, posterior_mean_coef_xt: [Double]
  }

  @Test(.needsShared) func tablesMatchReference() throws {
    let reference: [String: Tables] = try reference("schedules.json")
    #expect(reference.count == 12)
    for (name, tables) in reference {
      let parts = name.split(separator: "/")
      let T = try #require(Int(parts[1]))
      let schedule = try NoiseSchedule(named(String(parts[0])), T: T)
      let posteriors = schedule.timesteps.map { schedule.posterior($0) }
      for (what, ours, theirs) in [
        ("β", Array(schedule.β.values.dropFirst()), tables.betas),
        ("ᾱ", Array(schedule.ᾱ.values.dropFirst()), tables.alphas_cumprod),
        ("β̃", schedule.timesteps.map { schedule.posteriorVariance($0) }, tables.posterior_variance),
        ("μ̃ of x0", posteriors.map(\.x0Coefficient), tables.posterior_mean_coef_x0),
        ("μ̃ of xt", posteriors.map(\.xtCoefficient), tables.posterior_mean_coef_xt),
      ] {
        expect(maximumRelativeError(ours, theirs), atMost: 1e-12, "schedules.json \(name) \(what)")
      }
    }
  }

  @Test func rulesMatchGolden() throws {
    let golden: [String: [Double]] = try golden("schedules.json")
    for (name, betas) in golden {
      let schedule =
        switch name {
        case "linear/rescaled": try NoiseSchedule(.linear(), T: 200, rescaled: true)
        case let name where name.hasPrefix("zero_snr/"):
          try NoiseSchedule(named(String(name.dropFirst(9))), zeroTerminalSNR: true)
        default: try NoiseSchedule(named(name), T: betas.count)
        }
      // Differences of nearly equal ᾱ leave β of zero-SNR schedules fewer digits.
      expect(
        maximumRelativeError(Array(schedule.β.values.dropFirst()), betas),
        atMost: name.hasPrefix("zero") ? 1e-9 : 1e-12, "Golden/schedules.json \(name)")
    }
  }

  @Test(arguments: ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "const", "jsd", "warmup50"])
  func tablesAreConsistent(_ name: String) throws {
    let schedule = try NoiseSchedule(named(name), T: 250)
    #expect(schedule.ᾱ[0] == 1 && schedule.α[0] == 1 && schedule.β[0] == 0 && schedule.snr[0] == .infinity)
    for t in schedule.timesteps {
      #expect(schedule.α[t] == 1 - schedule.β[t])
      #expect(schedule.ᾱ[t] == schedule.ᾱ[t.previous] * schedule.α[t])
      #expect(schedule.ᾱ[t] < schedule.ᾱ[t.previous])
      let unit = schedule.sqrtᾱ[t] * schedule.sqrtᾱ[t] + schedule.sqrtOneMinusᾱ[t] * schedule.sqrtOneMinusᾱ[t]
      #expect(abs(unit - 1) < 1e-15)
    }
  }

  @Test func zeroTerminalSNRKeepsTheFirstLevel() throws {
    let plain = try NoiseSchedule()
    let zero = try NoiseSchedule(zeroTerminalSNR: true)
    #expect(zero.ᾱ[1000] == 0 && zero.snr[1000] == 0)
    #expect(abs(zero.ᾱ[1] - plain.ᾱ[1]) < 1e-15)
    #expect(throws: ReverseProcessError.epsilonAtZeroSNR) { try ReverseProcess(schedule: zero, prediction: .epsilon) }
    #expect(throws: Never.self) { try ReverseProcess(schedule: zero, prediction: .velocity) }
  }

  /// Between two timesteps ln σ̄ is a line, whatever the schedule, also down to zero SNR.
  @Test(arguments: [false, true]) func levelsBetweenTimesteps(_ zeroTerminalSNR: Bool) throws {
    let schedule = try NoiseSchedule(T: 50, zeroTerminalSNR: zeroTerminalSNR)
    for (t, w) in [(1, 0.5), (17, 0.25), (49, 0.9)] {
      let level = schedule.level(Timestep(position: Double(t) + w))
      let ends = [t, t + 1].map { -schedule.finiteLevel(Timestep($0)).λ }
      #expect(abs(-level.λ - ((1 - w) * ends[0] + w * ends[1])) < 1e-12)
      #expect(abs(level.sqrtᾱ * level.sqrtᾱ + level.sqrtOneMinusᾱ * level.sqrtOneMinusᾱ - 1) < 1e-15)
      #expect(abs(schedule.timestep(sigmaBar: level.σ̄).position - (Double(t) + w)) < 1e-9)
    }
    for t in schedule.timesteps { #expect(schedule.timestep(sigmaBar: schedule.finiteLevel(t).σ̄) == t) }
    // Beyond the ends are the ends.
    #expect(schedule.timestep(sigmaBar: 1e9) == 50 && schedule.timestep(sigmaBar: 1e-9) == 1)
    #expect(Timestep(position: 7) == 7 && Timestep(position: 7.5) > 7 && Timestep(position: 7.5).networkTime == 6.5)
    #expect(Timestep(position: 7.5, networkTime: 7).networkTime == 7 && "\(Timestep(position: 7.5))" == "7.5")
  }

  /// scipy.stats.beta.ppf(p, 0.6, 0.6), and the ends of every spacing.
  @Test func sigmasAreSpaced() {
    let sigmas = SigmaSpacing.beta.sigmas(5, from: 3, to: 1).map { ($0 - 1) / 2 }
    for (ours, scipy) in zip(sigmas, [1, 0.824_319_621_347_3, 0.5, 0.175_680_378_652_7, 0]) {
      #expect(abs(ours - scipy) < 1e-9)
    }
    for spacing in SigmaSpacing.allCases {
      let sigmas = spacing.sigmas(7, from: 80, to: 0.02)
      #expect(abs(sigmas[0] - 80) < 1e-12 && abs(sigmas[6] - 0.02) < 1e-12 && sigmas == sigmas.sorted(by: >))
      #expect(abs(spacing.sigmas(1, from: 80, to: 0.02)[0] - 80) < 1e-12)
    }
    // σ̄_i of Karras et al. 2022, eq. 5, at the middle of 3.
    let middle = (pow(80, 1 / 7.0) + pow(0.02, 1 / 7.0)) / 2
    #expect(abs(SigmaSpacing.karras.sigmas(3, from: 80, to: 0.02)[1] - pow(middle, 7)) < 1e-12)
    #expect(abs(SigmaSpacing.exponential.sigmas(3, from: 80, to: 0.02)[1] - (80 * 0.02).squareRoot()) < 1e-12)
  }

  /// The trap of few steps: unscaled, 100 linear steps leave a third of the data's variance.
  @Test func rescalingDestroysTheData() throws {
    let plain = try NoiseSchedule(T: 100)
    let rescaled = try NoiseSchedule(T: 100, rescaled: true)
    #expect(abs(plain.ᾱ[100] - 0.364) < 1e-3)
    #expect(rescaled.ᾱ[100] < 1e-4)
  }

  @Test func badBetasAreRefused() {
    #expect(throws: ScheduleError.betaOutOfRange(2, t: 1, T: 10)) {
      try NoiseSchedule(.constant(0.02), T: 10, rescaled: true)
    }
    #expect(throws: ScheduleError.wrongCount(2, T: 3)) { try NoiseSchedule(.explicit([0.1, 0.2]), T: 3) }
    // β = 1 destroys everything, so only the last may.
    #expect(throws: ScheduleError.betaOutOfRange(1, t: 1, T: 2)) { try NoiseSchedule(betas: [1, 0.1]) }
    #expect(throws: ScheduleError.betaOutOfRange(0, t: 1, T: 2)) { try NoiseSchedule(betas: [0, 0.1]) }
    #expect(throws: ScheduleError.empty) { try NoiseSchedule(T: 0) }
  }
}
