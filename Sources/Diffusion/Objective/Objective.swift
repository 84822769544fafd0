/// What training makes small.
public enum Objective: Sendable, Hashable {
  /// A weighted squared error of the output: L_simple, the bound's terms, the μ̃ form (with `Prediction.mean`), min-SNR.
  case squaredError(LossWeight = .simple)
  /// L_simple + `λ` L_{t−1}, for a learned variance: the bound moves the variance alone, its mean is detached
  /// (Nichol & Dhariwal 2021, eq. 16). L_{t−1} is the term of the sampled t in bits a dimension. T times it estimates their L_vlb, so that
  /// their 0.001 is λ = T/1000 here, as in their code.
  case hybrid(λ: Double? = nil)
}

extension ReverseProcess {
  /// The mean over dimensions of weight · (target − output)², one number a sample. The plain form of what training differentiates.
  ///
  /// - Parameters:
  ///   - output: [N, C, H, W], the prediction alone.
  ///   - t: N timesteps.
  public func squaredError(
    _ x0: Images, ε: Images, output: Images, at t: [Timestep], weight: LossWeight = .simple
  ) -> [Double] {
    precondition(t.count == x0.shape.count, "\(t.count) timesteps for a batch of \(x0.shape)")
    return t.indices.map { n in
      let level = schedule.level(t[n])
      let posterior = schedule.posterior(t[n])
      var sum = 0.0
      for i in x0.range(ofSample: n) {
        let (x0, ε) = (Double(x0.scalars[i]), Double(ε.scalars[i]))
        let xt = level.xt(x0: x0, ε: ε)
        let error =
          prediction.target(x0: x0, ε: ε, xt: xt, level: level, posterior: posterior) - Double(output.scalars[i])
        sum += error * error
      }
      return self.weight(weight, at: t[n]) * sum / Double(x0.shape.dimension)
    }
  }

  /// The objective of each sample: what the graph's `loss` averages.
  ///
  /// - Parameter output: [N, C, H, W], or [N, 2C, H, W] for `.hybrid`.
  public func objective(
    _ objective: Objective, x0: Images, ε: Images, output: Images, at t: [Timestep]
  ) -> [Double] {
    switch objective {
    case .squaredError(let weight):
      return squaredError(
        x0, ε: ε, output: variance.isLearned ? output.splitChannels().0 : output, at: t, weight: weight)
    case .hybrid(let λ):
      let simple = squaredError(x0, ε: ε, output: output.splitChannels().0, at: t)
      // Training does not limit x̂_0.
      let bound = VariationalBound(limited(.none)).terms(x0, ε: ε, output: output, at: t)
      let λ = λ ?? Double(schedule.T) / 1000
      return zip(simple, bound).map { $0 + λ * $1.bits }
    }
  }
}
