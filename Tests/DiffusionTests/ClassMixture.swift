import Diffusion
import Platform

/// Equally likely classes, class c independent N(m_c, s²) in every dimension: every density, score, class posterior and best denoiser,
/// conditional or not, is known.
struct ClassMixture: Denoiser {
  let schedule: NoiseSchedule
  var means = [-0.5, 0.5]
  var variance = 0.25
  var prediction = Prediction.epsilon
  /// Whether the output's second half is ln σ² of the best p(x_{t−1} | x_t).
  var learnsVariance = false

  /// ln p_t(x_t | c), or ln p_t(x_t).
  func logDensity(_ x: [Double], at t: Timestep, given c: Int?) -> Double {
    let (ᾱ, v) = (schedule.ᾱ[t], schedule.ᾱ[t] * variance + 1 - schedule.ᾱ[t])
    let logs = means.map { m in
      x.reduce(0) { $0 - 0.5 * (log(2 * Double.pi * v) + ($1 - ᾱ.squareRoot() * m) * ($1 - ᾱ.squareRoot() * m) / v) }
    }
    if let c { return logs[c] }
    let most = logs.max() ?? 0
    return most + log(logs.reduce(0) { $0 + exp($1 - most) } / Double(means.count))
  }

  /// p(c | x_t).
  func classes(_ x: [Double], at t: Timestep) -> [Double] {
    let all = logDensity(x, at: t, given: nil) + log(Double(means.count))
    return means.indices.map { exp(logDensity(x, at: t, given: $0) - all) }
  }

  /// ∂ ln p(c | x_t)/∂x of one dimension, by central differences of the closed form.
  func classScore(_ x: Double, at t: Timestep, given c: Int) -> Double {
    let h = 1e-5
    return (log(classes([x + h], at: t)[c]) - log(classes([x - h], at: t)[c])) / (2 * h)
  }

  func predict(_ xt: Images, at t: [Timestep], given condition: Condition) -> Images {
    var shape = xt.shape
    if learnsVariance { shape.channels *= 2 }
    let scalars = t.indices.flatMap { n -> [Float] in
      let (x, t) = (xt[sample: n].doubles, t[n])
      let (level, posterior, ᾱ) = (schedule.level(t), schedule.posterior(t), schedule.ᾱ[t])
      let v = ᾱ * variance + 1 - ᾱ
      var weights = classes(x, at: t)
      if let c = condition.classes?[n] { weights = means.indices.map { $0 == c ? 1 : 0 } }
      var (prediction, second): ([Float], [Float]) = ([], [])
      for x in x {
        // E[x_0 | x_t, c] = m + √ᾱ s² (x_t − √ᾱ m)/v
        let each = means.map { $0 + ᾱ.squareRoot() * variance * (x - ᾱ.squareRoot() * $0) / v }
        let x0 = zip(weights, each).reduce(0) { $0 + $1.0 * $1.1 }
        let spread = zip(weights, each).reduce(variance * (1 - ᾱ) / v) { $0 + $1.0 * ($1.1 - x0) * ($1.1 - x0) }
        let ε = level.epsilon(x0: x0, xt: x)
        prediction.append(
          Float(self.prediction.target(x0: x0, epsilon: ε, xt: x, level: level, posterior: posterior)))
        // Var(x_{t−1} | x_t) = β̃ + c² Var(x_0 | x_t)
        let c = posterior.x0Coefficient
        second.append(Float(log(schedule.posteriorVariance(t) + c * c * spread)))
      }
      return prediction + (learnsVariance ? second : [])
    }
    return Images(shape: shape, scalars: scalars)
  }
}
