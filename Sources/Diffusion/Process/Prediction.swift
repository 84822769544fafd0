/// What the network's output stands for.
public enum Prediction: String, Sendable, CaseIterable {
  /// ε, the noise in x_t.
  case epsilon
  /// x_0 itself ("sample" in diffusers).
  case sample
  /// v = √ᾱ ε − √(1−ᾱ) x_0.
  case velocity = "v_prediction"
  /// μ̃, the mean of q(x_{t−1} | x_t, x_0). (Not known to diffusers.)
  case mean

  /// x̂_0 of a network's output.
  public func x0<V: LinearSpace>(
    _ output: V, xt: V, level: NoiseLevel<V.Coefficient>, posterior: Posterior<V.Coefficient>
  ) -> V {
    switch self {
    case .epsilon: level.x0(epsilon: output, xt: xt)
    case .sample: output
    case .velocity: level.x0(v: output, xt: xt)
    case .mean: posterior.x0(mean: output, xt: xt)
    }
  }

  /// ε̂ of a network's output.
  public func epsilon<V: LinearSpace>(
    _ output: V, xt: V, level: NoiseLevel<V.Coefficient>, posterior: Posterior<V.Coefficient>
  ) -> V {
    switch self {
    case .epsilon: output
    case .sample: level.epsilon(x0: output, xt: xt)
    case .velocity: level.epsilon(v: output, xt: xt)
    case .mean: level.epsilon(x0: posterior.x0(mean: output, xt: xt), xt: xt)
    }
  }

  /// What the network should have said: the regression target.
  public func target<V: LinearSpace>(
    x0: V, epsilon ε: V, xt: V, level: NoiseLevel<V.Coefficient>, posterior: Posterior<V.Coefficient>
  ) -> V {
    switch self {
    case .epsilon: ε
    case .sample: x0
    case .velocity: level.v(x0: x0, epsilon: ε)
    case .mean: posterior.mean(x0: x0, xt: xt)
    }
  }
}
