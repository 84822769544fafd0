#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// L = L_T + Σ_{t>1} L_{t−1} + L_0 ≥ −ln p_θ(x_0) (Ho et al. 2020, eq. 5), in nats a dimension, computed in Double.
public struct VariationalBound: Sendable {
  /// How L_0 = −ln p_θ(x_0 | x_1) is measured.
  public enum Decoder: Sendable {
    /// The probability of 8-bit pixels.
    case discretized
    /// A density, for data that is not pixels.
    case density
  }

  public let process: ReverseProcess
  public let decoder: Decoder

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
    public let t: Timestep
    /// L_{t−1} for t > 1, L_0 for t = 1; nats a dimension.
    public let nats: Double
    /// Mean squared error of x̂_0, and of ε̂ as derived from the unlimited prediction.
    public let x0Error: Double
    public let εError: Double

    /// bits a dimension.
    public var bits: Double { nats / log(2.0) }
  }

  /// The terms of a batch, each sample at its own t.
  ///
  /// - Parameters:
  ///   - x0: [N, C, H, W].
  ///   - ε: the noise in x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε; x_t is formed here in Double.
  ///   - output: what the network said of x_t: [N, C, H, W], or [N, 2C, H, W] where the variance is learned.
  ///   - t: N timesteps.
  public func terms(_ x0: Images, ε: Images, output: Images, at t: [Timestep]) -> [Term] {
    precondition(t.count == x0.shape.count, "\(t.count) timesteps for a batch of \(x0.shape)")
    return t.indices.map { n in
      let halves = process.variance.isLearned ? output[sample: n].splitChannels() : (output[sample: n], nil)
      return term(
        x0[sample: n].scalars.map(Double.init), ε: ε[sample: n].scalars.map(Double.init),
        output: halves.0.scalars.map(Double.init), variance: halves.1?.scalars.map(Double.init), at: t[n])
    }
  }

  /// One sample's term. Arrays hold one value a dimension.
  private func term(
    _ x0: [Double], ε: [Double], output: [Double], variance: [Double]?, at t: Timestep
  ) -> Term {
    let schedule = process.schedule
    let level = schedule.level(t)
    let posterior = schedule.posterior(t)
    let logβ̃ = schedule.posteriorLogVariance(t)
    let fixedLogσ² = process.variance.isLearned ? 0 : process.fixedLogVariance(at: t)
    let range = process.logVarianceRange(at: t)

    let xt = zip(x0, ε).map { level.xt(x0: $0, ε: $1) }
    var x̂0 = zip(output, xt).map { process.prediction.x0($0, xt: $1, level: level, posterior: posterior) }[...]
    process.limit.apply(&x̂0)

    var (nats, x0Error, εError) = (0.0, 0.0, 0.0)
    for i in x0.indices {
      let μ̃ = posterior.mean(x0: x0[i], xt: xt[i])
      let μ = posterior.mean(x0: x̂0[i], xt: xt[i])
      let logσ² = variance.map { process.logVariance($0[i], range: range) } ?? fixedLogσ²
      if t > 1 {
        // L_{t−1} = KL(q(x_{t−1} | x_t, x_0) ‖ p_θ(x_{t−1} | x_t))
        nats += gaussianKL(mean1: μ̃, logVariance1: logβ̃, mean2: μ, logVariance2: logσ²)
      } else {
        // L_0 = −ln p_θ(x_0 | x_1)
        nats -= logDecoder(x0[i], mean: μ, logσ²: logσ²)
      }
      let ε̂ = process.prediction.ε(output[i], xt: xt[i], level: level, posterior: posterior)
      x0Error += (x0[i] - x̂0[i]) * (x0[i] - x̂0[i])
      εError += (ε[i] - ε̂) * (ε[i] - ε̂)
    }
    let dimension = Double(x0.count)
    return Term(t: t, nats: nats / dimension, x0Error: x0Error / dimension, εError: εError / dimension)
  }

  private func logDecoder(_ x0: Double, mean: Double, logσ²: Double) -> Double {
    switch decoder {
    case .discretized:
      let k = DiscretizedDecoder.pixel(nearest: x0)
      return DiscretizedDecoder.logLikelihood(pixel: k, mean: mean, logσ: logσ² / 2)
    case .density:
      return -0.5 * (log(2 * Double.pi) + logσ² + (x0 - mean) * (x0 - mean) * exp(-logσ²))
    }
  }
}

/// The whole bound of some images.
public struct BoundReport: Sendable {
  /// L_T, mean over samples, nats a dimension.
  public let prior: Double
  /// L_0, L_1, …, L_{T−1} at index t − 1, means over samples, nats a dimension.
  public let terms: [VariationalBound.Term]
  /// L of each sample, bits a dimension.
  public let bitsPerSample: [Double]

  public init(prior: Double, terms: [VariationalBound.Term], bitsPerSample: [Double]) {
    self.prior = prior
    self.terms = terms
    self.bitsPerSample = bitsPerSample
  }

  /// The report of all the samples of several, each weighing as much as it has samples. All have the same T.
  public init(merging reports: [BoundReport]) {
    precondition(!reports.isEmpty, "no reports to merge")
    let samples = reports.reduce(0) { $0 + $1.bitsPerSample.count }
    let mean = { (value: (BoundReport) -> Double) in
      reports.reduce(0) { $0 + value($1) * Double($1.bitsPerSample.count) } / Double(samples)
    }
    self.init(
      prior: mean { $0.prior },
      terms: reports[0].terms.indices.map { i in
        VariationalBound.Term(
          t: reports[0].terms[i].t, nats: mean { $0.terms[i].nats }, x0Error: mean { $0.terms[i].x0Error },
          εError: mean { $0.terms[i].εError })
      },
      bitsPerSample: reports.flatMap(\.bitsPerSample))
  }

  /// L in nats a dimension.
  public var nats: Double { prior + terms.reduce(0) { $0 + $1.nats } }
  /// L in bits a dimension.
  public var bits: Double { nats / log(2.0) }
  /// Σ_{t>1} L_{t−1} + L_T: what it costs to send x_1, bits a dimension.
  public var rate: Double { bits - distortion }
  /// L_0: what x_1 still leaves open of x_0, bits a dimension.
  public var distortion: Double { terms.first?.bits ?? 0 }
}

extension VariationalBound {
  /// All T terms and the prior: T predictions for the batch.
  ///
  /// - Parameters:
  ///   - noise: ε for each t; `CounterNoise(seed:stream: .evaluation)` makes the result a function of the seed.
  ///   - observe: called after each t; throw from it to stop.
  public func evaluate<Noise: NoiseSource>(
    _ x0: Images, denoiser: some Denoiser, noise: inout Noise, observe: ((Timestep) throws -> Void)? = nil
  ) throws -> BoundReport {
    let count = x0.shape.count
    precondition(count > 0, "the bound of no images")
    var perSample = prior(x0)
    let prior = perSample.reduce(0, +) / Double(count)
    let forward = ForwardProcess(process.schedule)
    var means: [Term] = []
    for t in process.schedule.timesteps {
      let ε = try noise.stepNoise(leaving: t, shape: x0.shape)
      let all = [Timestep](repeating: t, count: count)
      let output = try denoiser.predict(forward.noised(x0, at: t, ε: ε), at: all)
      let terms = terms(x0, ε: ε, output: output, at: all)
      for (n, term) in terms.enumerated() { perSample[n] += term.nats }
      let mean = { (value: (Term) -> Double) in terms.reduce(0) { $0 + value($1) } / Double(count) }
      means.append(
        Term(t: t, nats: mean { $0.nats }, x0Error: mean { $0.x0Error }, εError: mean { $0.εError }))
      try observe?(t)
    }
    return BoundReport(prior: prior, terms: means, bitsPerSample: perSample.map { $0 / log(2.0) })
  }
}
