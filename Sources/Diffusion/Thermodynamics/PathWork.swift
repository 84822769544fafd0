import Platform

/// w = ln q(x_{1:T} | x_0) − ln p_θ(x_{0:T}): the bound as the work of a path.
///
/// ⟨e^{−w}⟩ = p_θ(x_0) over paths from q, so ⟨w⟩ = L ≥ −ln p_θ(x_0) (Sohl-Dickstein et al. 2015, eqs. 9 and 12): Jarzynski's equality
/// (1997) and the second law, with −ln p_θ(x_0) as the difference of free energies. What ⟨w⟩ has too much is dissipated.
public struct PathWork: Sendable {
  /// p_θ, and with its schedule q.
  public let process: ReverseProcess
  /// How p_θ(x_0 | x_1) is measured.
  public let decoder: VariationalBound.Decoder

  /// - Parameter decoder: `.discretized` for 8-bit pixels only.
  public init(_ process: ReverseProcess, decoder: VariationalBound.Decoder = .density) {
    self.process = process
    self.decoder = decoder
  }

  /// Walks each x_0 to x_T once, with fresh noise at each step: T predictions for the batch.
  ///
  /// - Returns: w of each sample, in nats (not a dimension).
  /// - Throws: what the denoiser or the noise throws.
  public func measure<Noise: NoiseSource>(
    _ x0: Images, denoiser: some Denoiser, noise: inout Noise
  ) throws -> [Double] {
    let schedule = process.schedule
    var x = x0.scalars.map(Double.init)
    var work = [Double](repeating: 0, count: x0.shape.count)
    for t in schedule.timesteps {
      let z = try noise.stepNoise(leaving: t, shape: x0.shape).scalars
      // x_t = √(1−β_t) x_{t−1} + √β_t ε
      let (keep, width) = (schedule.α[t].squareRoot(), schedule.β[t].squareRoot())
      let next = x.indices.map { keep * x[$0] + width * Double(z[$0]) }
      let step = try self.work(from: x, to: next, at: t, shape: x0.shape, denoiser: denoiser)
      for n in work.indices { work[n] += step[n] }
      x = next
    }
    return zip(work, logPrior(x, x0.shape)).map { $0 - $1 }
  }

  /// w of given paths.
  ///
  /// - Parameter path: x_0, x_1, …, x_T, each of `shape`.
  package func work(along path: [[Double]], shape: Images.Shape, denoiser: some Denoiser) throws -> [Double] {
    precondition(path.count == process.schedule.T + 1, "a path of \(path.count) points for T = \(process.schedule.T)")
    var work = logPrior(path[process.schedule.T], shape).map { -$0 }
    for t in process.schedule.timesteps {
      let step = try self.work(
        from: path[t.number - 1], to: path[t.number], at: t, shape: shape, denoiser: denoiser)
      for n in work.indices { work[n] += step[n] }
    }
    return work
  }

  /// ln q(x_t | x_{t−1}) − ln p_θ(x_{t−1} | x_t) of each sample.
  private func work(
    from before: [Double], to xt: [Double], at t: Timestep, shape: Images.Shape, denoiser: some Denoiser
  ) throws -> [Double] {
    let (schedule, d) = (process.schedule, shape.dimension)
    let output = try denoiser.predict(
      Images(shape: shape, scalars: xt.map { Float($0) }), at: Array(repeating: t, count: shape.count))
    let (keep, logβ) = (schedule.α[t].squareRoot(), log(schedule.β[t]))
    return (0..<shape.count).map { n in
      let sample = n * d..<(n + 1) * d
      let kernel = process.kernel(output[sample: n], xt: Array(xt[sample]), at: t)
      return sample.reduce(0) { sum, i in
        let forward = logNormal(xt[i], mean: keep * before[i], logVariance: logβ)
        let j = i - sample.lowerBound
        // The decoder's bins lie about the 256 values, which arrive rounded to Float.
        let x = t == 1 && decoder == .discretized ? DiscretizedDecoder.value(nearest: before[i]) : before[i]
        return sum + forward
          - (t == 1 ? decoder : .density).logLikelihood(x, mean: kernel.mean[j], logVariance: kernel.logVariance[j])
      }
    }
  }

  /// ln π(x_T).
  private func logPrior(_ x: [Double], _ shape: Images.Shape) -> [Double] {
    (0..<shape.count).map { n in
      x[n * shape.dimension..<(n + 1) * shape.dimension].reduce(0) { $0 + logNormal($1, mean: 0, logVariance: 0) }
    }
  }
}

/// ln N(x; μ, σ²).
private func logNormal(_ x: Double, mean: Double, logVariance: Double) -> Double {
  VariationalBound.Decoder.density.logLikelihood(x, mean: mean, logVariance: logVariance)
}

extension ReverseProcess {
  /// The mean and ln σ² of p_θ(x_{t−1} | x_t) for one sample, in Double.
  ///
  /// - Parameters:
  ///   - output: one sample of what the network said: [1, C, H, W], or [1, 2C, H, W] where the variance is learned.
  ///   - xt: one value a scalar.
  func kernel(_ output: Images, xt: [Double], at t: Timestep) -> (mean: [Double], logVariance: [Double]) {
    let (output, learned) = variance.isLearned ? output.splitChannels() : (output, nil)
    let (level, posterior) = (schedule.level(t), schedule.posterior(t))
    var x0 = zip(output.scalars, xt).map {
      prediction.x0(Double($0), xt: $1, level: level, posterior: posterior)
    }[...]
    limit.apply(&x0)
    let range = logVarianceRange(at: t)
    return (
      zip(x0, xt).map { posterior.mean(x0: $0, xt: $1) },
      learned?.scalars.map { logVariance(Double($0), range: range) }
        ?? Array(repeating: fixedLogVariance(at: t), count: xt.count)
    )
  }
}
