import Platform

extension Reference {
  /// y = act(γ x̂ + β), x̂ = (x + shift − mean) · rstd, over each group of channels of each sample; act is SiLU or nothing.
  ///
  /// - Returns: y, mean (N, G), rstd (N, G); the mean is of x + shift.
  static func groupNorm(
    _ norm: GroupNorm, _ x: Value, gamma γ: [Double], beta β: [Double], shift: [Double]?
  ) -> [[Double]] {
    let groups = Groups(norm, x.shape)
    var y = shifted(x, by: shift)
    var means: [Double] = []
    var rstds: [Double] = []
    for group in 0..<groups.count {
      let elements = groups.elements(group)
      let mean = y[elements].reduce(0, +) / Double(groups.size)
      // Biased, as everywhere in normalisation: Σ (x − mean)² / size.
      let variance = y[elements].reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(groups.size)
      let rstd = 1 / (variance + norm.epsilon).squareRoot()
      means.append(mean)
      rstds.append(rstd)
      for i in elements {
        let c = groups.channel(i)
        let z = γ[c] * ((y[i] - mean) * rstd) + β[c]
        y[i] = norm.silu ? UnaryOp.silu(z) : z
      }
    }
    return [y, means, rstds]
  }

  /// With z = γ x̂ + β and dz = dy · act′(z):
  ///
  ///     dγ = Σ dz x̂     dβ = Σ dz     dx̂ = γ dz
  ///     dx = rstd (dx̂ − mean(dx̂) − x̂ mean(dx̂ x̂))     dshift = Σ dx over positions
  ///
  /// - Returns: dx, dγ, dβ, and dshift where there is a shift.
  static func groupNormGradient(
    _ norm: GroupNorm, dy: [Double], _ x: Value, gamma γ: [Double], beta β: [Double], mean: [Double], rstd: [Double],
    shift: [Double]?
  ) -> [[Double]] {
    let groups = Groups(norm, x.shape)
    let size = Double(groups.size)
    // In turn: x + shift, x̂.
    var xHat = shifted(x, by: shift)
    // In turn: dx̂, dx.
    var dx = dy
    var dγ = [Double](repeating: 0, count: γ.count)
    var dβ = [Double](repeating: 0, count: β.count)
    for group in 0..<groups.count {
      var (sum, product) = (0.0, 0.0)
      for i in groups.elements(group) {
        let c = groups.channel(i)
        xHat[i] = (xHat[i] - mean[group]) * rstd[group]
        let dz = dy[i] * (norm.silu ? siluDerivative(γ[c] * xHat[i] + β[c]) : 1)
        dγ[c] += dz * xHat[i]
        dβ[c] += dz
        dx[i] = γ[c] * dz
        sum += dx[i]
        product += dx[i] * xHat[i]
      }
      for i in groups.elements(group) {
        dx[i] = rstd[group] * (dx[i] - sum / size - xHat[i] * (product / size))
      }
    }
    guard shift != nil else { return [dx, dγ, dβ] }
    let dshift = sum(Value(shape: x.shape, elements: dx), axes: Array(2..<x.shape.rank))
    return [dx, dγ, dβ, dshift]
  }

  /// y = eˣ / Σ eˣ along the last axis, the maximum taken off first.
  static func softmax(_ x: Value) -> [Double] {
    let width = x.shape[x.shape.rank - 1]
    var y = x.elements
    for start in stride(from: 0, to: y.count, by: width) {
      let row = start..<start + width
      let maximum = y[row].reduce(-.infinity) { BinaryOp.maximum($0, $1) }
      for i in row { y[i] = exp(y[i] - maximum) }
      let sum = y[row].reduce(0, +)
      for i in row { y[i] /= sum }
    }
    return y
  }

  /// (x σ(x))′ = σ (1 + x (1 − σ))
  private static func siluDerivative(_ x: Double) -> Double {
    let σ = UnaryOp.sigmoid(x)
    return σ * (1 + x * (1 - σ))
  }

  /// x[n, c, …] + shift[n, c]
  private static func shifted(_ x: Value, by shift: [Double]?) -> [Double] {
    guard let shift else { return x.elements }
    let positions = x.elements.count / shift.count
    return x.elements.indices.map { x.elements[$0] + shift[$0 / positions] }
  }
}

/// How x (N, C, …) falls into groups: neighbours in memory, N · G of them, each of C/G channels.
private struct Groups {
  /// N · G.
  let count: Int
  /// The elements of one group.
  let size: Int
  private let channels: Int
  private let positions: Int

  init(_ norm: GroupNorm, _ x: Shape) {
    channels = x[1]
    positions = x.count / (x[0] * x[1])
    count = x[0] * norm.groups
    size = x.count / count
  }

  func elements(_ group: Int) -> Range<Int> { group * size..<(group + 1) * size }
  func channel(_ element: Int) -> Int { element / positions % channels }
}
