import Platform

/// What a step does to tensors: x_s = c_x x_t + Σ_k c_k p_k + c_z z, with predictions p_k (x̂_0 or ε̂, as the sampler says) and noise z.
///
/// All that depends on the schedule is in these few numbers, so that whatever holds the tensors can apply them.
public struct StepCoefficients: Sendable, Equatable {
  /// c_x.
  public var x: Double
  /// c_k.
  public var predictions: [Double]
  /// c_z.
  public var z: Double

  /// - Parameter z: c_z; 0 for a step without noise.
  public init(x: Double, predictions: [Double], z: Double = 0) {
    self.x = x
    self.predictions = predictions
    self.z = z
  }

  /// x_s. Terms with coefficient 0 are left out.
  public func callAsFunction<V: LinearSpace>(_ x: V, _ predictions: [V], z: V? = nil) -> V
  where V.Coefficient == Double {
    precondition(
      predictions.count == self.predictions.count && (z != nil || self.z == 0),
      "\(predictions.count) predictions\(z == nil ? "" : " and noise") for \(self)")
    var terms = zip([self.x] + self.predictions, [x] + predictions).map { ($0, $1) }
    if let z { terms.append((self.z, z)) }
    let products = terms.filter { $0.0 != 0 }.map { $0.0 * $0.1 }
    guard let first = products.first else { return 0 * x }
    return products.dropFirst().reduce(first, +)
  }
}

/// Weights w_j with Σ_j w_j u_j^k = m_k for k = 0, 1, …: they integrate every polynomial through the nodes u_j exactly, if m_k is the
/// integral of u^k.
///
/// Solves the Vandermonde system (Björck & Pereyra 1970).
func quadratureWeights(nodes u: [Double], moments m: [Double]) -> [Double] {
  precondition(u.count == m.count && !u.isEmpty, "\(u.count) nodes and \(m.count) moments")
  let n = u.count
  var w = m
  for k in 0..<n - 1 {
    for i in stride(from: n - 1, to: k, by: -1) { w[i] -= u[k] * w[i - 1] }
  }
  for k in (0..<n - 1).reversed() {
    for i in k + 1..<n { w[i] /= u[i] - u[i - k - 1] }
    for i in k..<n - 1 { w[i] -= w[i + 1] }
  }
  return w
}

/// φ_k(h) = ∫_0^1 e^{−h(1−v)} v^{k−1}/(k−1)! dv · h: what an exponential integrator in λ weighs the derivatives of x̂_0 with.
///
/// - Returns: φ₁ = 1 − e^{−h} and φ_{k+1} = 1/k! − φ_k/h, `count` of them.
func exponentialWeights(_ h: Double, count: Int) -> [Double] {
  var φ = [-expm1(-h)]
  var factorial = 1.0
  for k in 1..<max(count, 1) {
    factorial *= Double(k)
    φ.append(1 / factorial - φ[k - 1] / h)
  }
  return φ
}
