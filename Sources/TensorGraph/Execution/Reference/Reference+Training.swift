extension Reference {
  /// One step of Adam (with decoupled weight decay) and of the parameter's moving average.
  ///
  /// - Returns: p′, m′, v′, ema′.
  static func adam(
    _ adam: Adam, p: [Double], g: [Double], m: [Double], v: [Double], ema: [Double], schedule: [Double]
  ) -> [[Double]] {
    let η = schedule[Adam.Schedule.learningRate.rawValue]
    let bias1 = schedule[Adam.Schedule.biasCorrection1.rawValue]
    let bias2 = schedule[Adam.Schedule.biasCorrection2.rawValue]
    let gradientScale = schedule[Adam.Schedule.gradientScale.rawValue]
    let decay = schedule[Adam.Schedule.emaDecay.rawValue]
    let (β1, β2) = (adam.beta1, adam.beta2)

    var (p, m, v, ema) = (p, m, v, ema)
    for i in p.indices {
      let g = gradientScale * g[i]
      // m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
      m[i] = β1 * m[i] + (1 - β1) * g
      v[i] = β2 * v[i] + (1 - β2) * g * g
      // p ← p − η λ p − η m̂ / (√v̂ + ε)
      let mHat = m[i] / bias1
      let vHat = v[i] / bias2
      p[i] -= η * adam.weightDecay * p[i] + η * mHat / (vHat.squareRoot() + adam.epsilon)
      // ema ← d ema + (1 − d) p
      ema[i] = decay * ema[i] + (1 - decay) * p[i]
    }
    return [p, m, v, ema]
  }
}
