import Platform

/// The terms of L = L_T + Σ_{t>1} L_{t−1} + L_0 ≥ −ln p_θ(x_0) (Ho et al. 2020, eq. 5), in nats a dimension, computed in Double.
public struct VariationalBound: Sendable {
  /// How L_0 = −ln p_θ(x_0 | x_1) is measured.
  public enum Decoder: Sendable {
    /// The probability of 8-bit pixels.
    case discretized
    /// A density, for data that is not pixels.
    case density
  }

  /// p_θ.
  public let process: ReverseProcess
  /// How L_0 is measured.
  public let decoder: Decoder

  /// The bound of a reverse process.
  public init(_ process: ReverseProcess, decoder: Decoder = .discretized) {
    self.process = process
    self.decoder = decoder
  }

  /// L_T = KL(q(x_T | x_0) ‖ N(0, I)): one number a sample, nats a dimension.
  public func prior(_ x0: Images) -> [Double] {
    let schedule = process.schedule
    return (0..<x0.shape.count).map { n in
      x0.scalars[x0.range(ofSample: n)].reduce(0) { sum, x in
        let (mean, variance) = ForwardProcess(schedule).marginal(Double(x), at: schedule.last)
        return sum + gaussianKL(mean1: mean, logVariance1: log(variance), mean2: 0, logVariance2: 0)
      } / Double(x0.shape.dimension)
    }
  }

  /// One term of the sum for one sample.
  public struct Term: Sendable, Equatable {
    /// Which term.
    public let t: Timestep
    /// L_{t−1} for t > 1, L_0 for t = 1; nats a dimension.
    public let nats: Double
    /// Mean squared error of x̂_0, and of ε̂ as derived from the unlimited prediction.
    public let x0Error: Double
    /// Mean squared error of ε̂.
    public let εError: Double
    /// `εError`, for those whose keyboard has no ε.
    public var epsilonError: Double { εError }

    /// A term that something else measured.
    public init(t: Timestep, nats: Double, x0Error: Double, epsilonError: Double) {
      (self.t, self.nats, self.x0Error, εError) = (t, nats, x0Error, epsilonError)
    }

    /// bits a dimension.
    public var bits: Double { nats / log(2.0) }
  }

  /// The terms of a batch, each sample at its own t.
  ///
  /// - Parameters:
  ///   - x0: [N, C, H, W].
  ///   - ε: the noise in x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, which is formed here in Double.
  ///   - output: what the network said of x_t: [N, C, H, W], or [N, 2C, H, W] where the variance is learned.
  ///   - t: N timesteps.
  public func terms(_ x0: Images, epsilon ε: Images, output: Images, at t: [Timestep]) -> [Term] {
    precondition(t.count == x0.shape.count, "\(t.count) timesteps for a batch of \(x0.shape)")
    return t.indices.map { n in
      let halves = process.variance.isLearned ? output[sample: n].splitChannels() : (output[sample: n], nil)
      return term(
        x0[sample: n].scalars.map(Double.init), epsilon: ε[sample: n].scalars.map(Double.init),
        output: halves.0.scalars.map(Double.init), variance: halves.1?.scalars.map(Double.init), at: t[n])
    }
  }

  /// One sample's term. Arrays hold one value a dimension.
  private func term(
    _ x0: [Double], epsilon ε: [Double], output: [Double], variance: [Double]?, at t: Timestep
  ) -> Term {
    let (schedule, prediction) = (process.schedule, process.prediction)
    let (level, posterior) = (schedule.level(t), schedule.posterior(t))
    let boundTerm = BoundTerm(
      isFirst: t == 1 ? 1 : 0, posterior: posterior, posteriorLogVariance: schedule.posteriorLogVariance(t),
      decoder: decoder)
    let fixedLogσ² = process.variance.isLearned ? 0 : process.fixedLogVariance(at: t)
    let range = process.logVarianceRange(at: t)

    let xt = zip(x0, ε).map { level.xt(x0: $0, epsilon: $1) }
    var x̂0 = zip(output, xt).map { prediction.x0($0, xt: $1, level: level, posterior: posterior) }[...]
    process.limit.apply(&x̂0)

    var (nats, x0Error, εError) = (0.0, 0.0, 0.0)
    for i in x0.indices {
      // The decoder's bins lie about the 256 values, which arrive rounded to Float.
      let data = t == 1 && decoder == .discretized ? DiscretizedDecoder.value(nearest: x0[i]) : x0[i]
      let logσ² = variance.map { process.logVariance($0[i], range: range) } ?? fixedLogσ²
      nats += boundTerm.nats(x0: data, xt: xt[i], x0Hat: x̂0[i], logVariance: logσ²)
      let ε̂ = prediction.epsilon(output[i], xt: xt[i], level: level, posterior: posterior)
      x0Error += (x0[i] - x̂0[i]) * (x0[i] - x̂0[i])
      εError += (ε[i] - ε̂) * (ε[i] - ε̂)
    }
    let dimension = Double(x0.count)
    return Term(t: t, nats: nats / dimension, x0Error: x0Error / dimension, epsilonError: εError / dimension)
  }
}
