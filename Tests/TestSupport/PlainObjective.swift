import Diffusion

/// What training makes small, written out in Double for a batch on the host: the oracle of the graph's losses.
extension ReverseProcess {
  /// The mean over dimensions of weight · (target − output)², one number a sample.
  ///
  /// - Parameter output: [N, C, H, W], the prediction alone.
  package func squaredError(
    _ x0: Images, epsilon ε: Images, output: Images, at t: [Timestep], weight: LossWeight = .simple
  ) -> [Double] {
    t.indices.map { n in
      let (level, posterior) = (schedule.level(t[n]), schedule.posterior(t[n]))
      var sum = 0.0
      for i in x0.range(ofSample: n) {
        let (x0, ε) = (Double(x0.scalars[i]), Double(ε.scalars[i]))
        let xt = level.xt(x0: x0, epsilon: ε)
        let target = prediction.target(x0: x0, epsilon: ε, xt: xt, level: level, posterior: posterior)
        sum += (target - Double(output.scalars[i])) * (target - Double(output.scalars[i]))
      }
      return self.weight(weight, at: t[n]) * sum / Double(x0.shape.dimension)
    }
  }

  /// The objective of each sample.
  ///
  /// - Parameter output: [N, C, H, W], or [N, 2C, H, W] where the variance is learned.
  package func objective(
    _ objective: Objective, x0: Images, epsilon ε: Images, output: Images, at t: [Timestep]
  ) -> [Double] {
    let prediction = variance.isLearned ? output.splitChannels().0 : output
    switch objective {
    case .squaredError(let weight):
      return squaredError(x0, epsilon: ε, output: prediction, at: t, weight: weight)
    case .hybrid(let λ):
      let simple = squaredError(x0, epsilon: ε, output: prediction, at: t)
      // Training does not limit x̂_0.
      let bound = VariationalBound(limited(.none)).terms(x0, epsilon: ε, output: output, at: t)
      return zip(simple, bound).map { $0 + (λ ?? Double(schedule.T) / 1000) * $1.bits }
    }
  }
}
