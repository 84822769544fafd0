import Platform

/// p_θ: the chain that turns noise into data, given what the network says.
public struct ReverseProcess: Sendable {
  /// The forward process that it undoes.
  public let schedule: NoiseSchedule
  /// What the network says of x_t: ε, x_0, v or μ̃.
  public let prediction: Prediction
  /// σ_t².
  public let variance: ReverseVariance
  /// What keeps x̂_0 in its range.
  public let limit: X0Limit

  /// - Throws: `ReverseProcessError` where the network cannot express x_0 at T: ε says nothing of x_0 once ᾱ_T = 0.
  public init(
    schedule: NoiseSchedule, prediction: Prediction = .epsilon, variance: ReverseVariance = .fixedLarge,
    limit: X0Limit = .clip()
  ) throws(ReverseProcessError) {
    if schedule.ᾱ[schedule.last] == 0 && prediction == .epsilon { throw .epsilonAtZeroSNR }
    self.schedule = schedule
    self.prediction = prediction
    self.variance = variance
    self.limit = limit
  }

  /// The same process with another limit on x̂_0.
  public func limited(_ limit: X0Limit) -> ReverseProcess {
    ReverseProcess(schedule, prediction, variance, limit)
  }

  private init(
    _ schedule: NoiseSchedule, _ prediction: Prediction, _ variance: ReverseVariance, _ limit: X0Limit
  ) {
    self.schedule = schedule
    self.prediction = prediction
    self.variance = variance
    self.limit = limit
  }

  /// Reads a network's output at x_t.
  ///
  /// - Parameters:
  ///   - output: [N, C, H, W], or [N, 2C, H, W] where the variance is learned.
  ///   - xt: [N, C, H, W].
  ///   - level: how much signal and noise x_t is taken to hold: the schedule's own unless given.
  public func denoised(
    _ output: Images, xt: Images, at t: Timestep, level: NoiseLevel<Double>? = nil
  ) -> Denoised {
    let (output, variance) = variance.isLearned ? output.splitChannels() : (output, nil)
    let level = level ?? schedule.level(t)
    // The network learned μ̃ of the full chain, whatever the sampler's next step.
    let posterior = schedule.posterior(Timestep(t.number))
    return Denoised(
      x0: limit(prediction.x0(output, xt: xt, level: level, posterior: posterior)),
      ε: prediction.epsilon(output, xt: xt, level: level, posterior: posterior),
      variance: variance)
  }

  /// The mean of p_θ(x_s | x_t) (Ho et al. 2020, eq. 11): μ̃(x_t, x̂_0), x̂_0 limited *before*. s = t − 1 unless given.
  public func mean(_ denoised: Denoised, xt: Images, at t: Timestep, to s: Timestep? = nil) -> Images {
    schedule.posterior(t, to: s).mean(x0: denoised.x0, xt: xt)
  }

  /// ln σ² of p_θ(x_s | x_t). At t = 1 it is that of the likelihood's decoder; sampling adds no noise there.
  public func logVariance(_ denoised: Denoised, at t: Timestep, to s: Timestep? = nil) -> LogVariance {
    guard let output = denoised.variance else { return .uniform(fixedLogVariance(at: t, to: s)) }
    guard variance == .learnedRange else { return .each(output) }
    let range = logVarianceRange(at: t, to: s)
    return .each(output.map { Float(logVariance(Double($0), range: range)) })
  }

  /// ln σ² that the schedule fixes: ln β̃ or ln β, and ln β̃_2 at t = 1 for both.
  public func fixedLogVariance(at t: Timestep, to s: Timestep? = nil) -> Double {
    let s = s ?? t.previous
    if variance == .fixedSmall || s == .data { return schedule.posteriorLogVariance(t, to: s) }
    return log(schedule.transition(from: s, to: t).β)
  }

  /// (ln β̃, ln β): the ends of the learned range.
  public func logVarianceRange(at t: Timestep, to s: Timestep? = nil) -> (least: Double, most: Double) {
    (schedule.posteriorLogVariance(t, to: s), log(schedule.transition(from: s ?? t.previous, to: t).β))
  }

  /// ln σ² of a network's second half, s_θ, element by element.
  ///
  /// - Parameter range: (ln β̃, ln β); only `.learnedRange` asks.
  func logVariance<V: ElementarySpace>(_ sθ: V, range: @autoclosure () -> (least: V, most: V)) -> V {
    guard variance == .learnedRange else { return sθ }
    let (least, most) = range()
    // ln σ² = (s_θ+1)/2 · ln β + (1−s_θ)/2 · ln β̃
    return 0.5 * (sθ + 1) * most + 0.5 * (1 - sθ) * least
  }
}

/// What a network's output says of x_t.
public struct Denoised: Sendable {
  /// x̂_0, limited.
  public let x0: Images
  /// ε̂ as the network said it, before any limit on x̂_0.
  public let ε: Images
  /// ε̂, by a name that any keyboard types.
  public var epsilon: Images { ε }
  /// s_θ, the raw second half of channels, where the variance is learned.
  public let variance: Images?
}

/// Why a process cannot be undone.
public enum ReverseProcessError: Error, Equatable, CustomStringConvertible {
  case epsilonAtZeroSNR

  public var description: String {
    "the schedule ends at zero SNR, where predicted noise does not determine x_0: train with v_prediction or sample, or end above zero"
  }
}
