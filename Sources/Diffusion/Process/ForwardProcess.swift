/// q: the Markov chain that turns data into noise.
public struct ForwardProcess: Sendable {
  /// β_t and ᾱ_t.
  public let schedule: NoiseSchedule

  /// The chain of a schedule.
  public init(_ schedule: NoiseSchedule) { self.schedule = schedule }

  /// One step of q(x_t | x_{t−1}) (Ho et al. 2020, eq. 2).
  public func step(_ xPrevious: Images, to t: Timestep, epsilon ε: Images) -> Images {
    // x_t = √(1−β_t) x_{t−1} + √β_t ε
    (1 - schedule.β[t]).squareRoot() * xPrevious + schedule.β[t].squareRoot() * ε
  }

  /// q(x_t | x_0) in closed form (eq. 4), each sample at its own t.
  ///
  /// - Parameters:
  ///   - x0: [N, C, H, W] in [−1, 1].
  ///   - t: N timesteps.
  ///   - ε: [N, C, H, W] from N(0, 1).
  public func noised(_ x0: Images, at t: [Timestep], epsilon ε: Images) -> Images {
    precondition(t.count == x0.shape.count, "\(t.count) timesteps for a batch of \(x0.shape)")
    if t.isEmpty { return x0 }
    // x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε
    return Images(
      joining: t.indices.map { n in schedule.level(t[n]).xt(x0: x0[sample: n], epsilon: ε[sample: n]) })
  }

  /// q(x_t | x_0) in closed form, all samples at one t.
  public func noised(_ x0: Images, at t: Timestep, epsilon ε: Images) -> Images {
    schedule.level(t).xt(x0: x0, epsilon: ε)
  }

  /// The mean and variance of q(x_t | x_0): √ᾱ_t x_0 and 1 − ᾱ_t.
  public func marginal(_ x0: Double, at t: Timestep) -> (mean: Double, variance: Double) {
    (schedule.sqrtᾱ[t] * x0, 1 - schedule.ᾱ[t])
  }
}
