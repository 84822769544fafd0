import Platform

extension GaussianMixture: KnownData {
  /// All K components for each x_t: K · d operations each, K · d² with full covariances.
  public func posteriors(of xt: [Double], alphaBar ᾱ: Double, classes: [Int?]) -> [ExactPosterior] {
    let marginal = marginal(alphaBar: ᾱ)
    return classes.indices.map { n in
      marginal.posterior(of: Array(xt[n * dimension..<(n + 1) * dimension]), given: classes[n])
    }
  }

  /// q_t at a noise level; ᾱ = 1 is the data, whose eigenvalues must then be positive.
  public func marginal(alphaBar ᾱ: Double) -> Marginal { Marginal(self, ᾱ: ᾱ) }

  /// q_t = Σ_k w_k N(√ᾱ m_k, U_k v U_kᵀ) with v = ᾱ λ + 1 − ᾱ.
  public struct Marginal: Sendable {
    let data: GaussianMixture
    let ᾱ: Double
    /// v, as `data.λ`.
    private let v: [Double]
    /// ln w_k − ½ Σ_i ln 2π v_i.
    private let offsets: [Double]

    init(_ data: GaussianMixture, ᾱ: Double) {
      precondition(ᾱ >= 0 && ᾱ <= 1, "ᾱ = \(ᾱ) lies outside [0, 1]")
      let v = data.λ.map { ᾱ * $0 + 1 - ᾱ }
      let (d, each) = (data.dimension, data.λ.count / data.count)
      self.data = data
      self.ᾱ = ᾱ
      self.v = v
      offsets = (0..<data.count).map { k in
        let logs = v[k * each..<(k + 1) * each].reduce(0) { $0 + log(2 * .pi * $1) }
        return data.logWeights[k] - 0.5 * logs * Double(d / each)
      }
    }

    /// v_i of component k.
    private func variance(_ k: Int, _ i: Int) -> Double { v.count == data.count ? v[k] : v[k * data.dimension + i] }

    /// Calls `visit` for each component with y = Uᵀ(x − √ᾱ m) and ln w_k N(x; …).
    private func each(_ x: [Double], _ visit: (_ k: Int, _ y: [Double], _ logJoint: Double) -> Void) {
      let (d, root) = (data.dimension, ᾱ.squareRoot())
      precondition(x.count == d, "\(x.count) coordinates for a point of ℝ^\(d)")
      var y = [Double](repeating: 0, count: d)
      for k in 0..<data.count {
        var square = 0.0
        for i in 0..<d {
          if data.axes.isEmpty {
            y[i] = x[i] - root * data.means[k * d + i]
          } else {
            y[i] = 0
            for j in 0..<d { y[i] += data.axes[(k * d + j) * d + i] * (x[j] - root * data.means[k * d + j]) }
          }
          square += y[i] * y[i] / variance(k, i)
        }
        visit(k, y, offsets[k] - 0.5 * square)
      }
    }

    /// ln q_t(x), in nats.
    public func logDensity(_ x: [Double]) -> Double {
      var joint: [Double] = []
      each(x) { joint.append($2) }
      return logSumExp(joint)
    }

    /// P(k | x_t = x).
    public func responsibilities(_ x: [Double]) -> [Double] {
      var joint: [Double] = []
      each(x) { joint.append($2) }
      let total = logSumExp(joint)
      return joint.map { exp($0 - total) }
    }

    /// ∇ln q_t(x), without the cancellation that Tweedie's formula has where little noise is left.
    public func score(_ x: [Double]) -> [Double] {
      let r = responsibilities(x)
      var sum = [Double](repeating: 0, count: x.count)
      // ∇ln q_t = −Σ_k P(k | x) U v⁻¹ y
      each(x) { k, y, _ in
        guard r[k] > 0 else { return }
        let pull = data.turn(y.indices.map { y[$0] / variance(k, $0) }, k)
        for i in sum.indices { sum[i] -= r[k] * pull[i] }
      }
      return sum
    }

    /// All that x_t says of x_0, which may be known to be of one class.
    public func posterior(of xt: [Double], given label: Int? = nil) -> ExactPosterior {
      let d = data.dimension
      let belongs = { (k: Int) in label == nil || data.labels[k] == label }
      var joint: [Double] = []
      each(xt) { k, _, logJoint in if belongs(k) { joint.append(logJoint) } }
      precondition(!joint.isEmpty, "no component of class \(label ?? 0)")
      let total = logSumExp(joint)
      var mean = [Double](repeating: 0, count: d)
      var centres: [(weight: Double, mean: [Double])] = []
      var (within, entropy) = (0.0, 0.0)
      var classes = [Double](repeating: 0, count: data.classCounts.count)
      each(xt) { k, y, logJoint in
        let r = belongs(k) ? exp(logJoint - total) : 0
        guard r > 0 else { return }
        entropy -= r * (logJoint - total)
        classes[data.labels[k]] += r
        // E[x_0 | x_t, k] = m_k + √ᾱ U λ v⁻¹ y, Cov(x_0 | x_t, k) = U (1 − ᾱ) λ v⁻¹ Uᵀ
        let shift = data.turn(
          y.indices.map { ᾱ.squareRoot() * data.eigenvalue(k, $0) / variance(k, $0) * y[$0] }, k)
        let centre = (0..<d).map { data.means[k * d + $0] + shift[$0] }
        for i in 0..<d { within += r * (1 - ᾱ) * data.eigenvalue(k, i) / variance(k, i) }
        for i in 0..<d { mean[i] += r * centre[i] }
        centres.append((r, centre))
      }
      // Var = E Var(x_0 | x_t, k) + Var E[x_0 | x_t, k]
      var between = 0.0
      for centre in centres {
        for i in 0..<d {
          let apart = centre.mean[i] - mean[i]
          between += centre.weight * apart * apart
        }
      }
      // ln q_t(x_t | c) = ln Σ_{k in c} w_k N(x_t; …) − ln Σ_{k in c} w_k
      let prior = label == nil ? 0 : logSumExp((0..<data.count).filter(belongs).map { data.logWeights[$0] })
      return ExactPosterior(
        logDensity: total - prior, mean: mean, variance: within + between, causeEntropy: entropy, classes: classes)
    }
  }
}

/// ln Σ e^x; −∞ of none.
func logSumExp(_ values: [Double]) -> Double {
  guard let largest = values.max(), largest > -.infinity else { return -.infinity }
  return largest + log(values.reduce(0) { $0 + exp($1 - largest) })
}
