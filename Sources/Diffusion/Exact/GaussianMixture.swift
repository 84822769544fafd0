import Platform

/// q(x_0) = Σ_k w_k N(m_k, Σ_k): data for which every marginal q_t, its score and the best denoiser are known.
///
/// A covariance is kept as the eigenvalues λ of Σ_k in its axes U_k, since noise only moves them: q_t is the mixture of means √ᾱ m_k and
/// eigenvalues v = ᾱ λ + 1 − ᾱ in the same axes.
public struct GaussianMixture: Sendable {
  /// Σ_k of one component.
  public enum Covariance: Sendable, Equatable {
    /// σ² I.
    case isotropic(Double)
    /// One variance a coordinate.
    case diagonal([Double])
    /// d · d values, row by row.
    case full([Double])
  }

  /// w_k N(m_k, Σ_k), and its class.
  public struct Component: Sendable, Equatable {
    /// w_k > 0; weights need not add up to 1.
    public let weight: Double
    /// m_k, d values.
    public let mean: [Double]
    /// Σ_k, symmetric and positive semidefinite.
    public let covariance: Covariance
    /// The class that its points belong to.
    public let label: Int

    /// Checked by the mixture that is made of it.
    public init(weight: Double = 1, mean: [Double], covariance: Covariance, label: Int = 0) {
      self.weight = weight
      self.mean = mean
      self.covariance = covariance
      self.label = label
    }
  }

  /// d.
  public let dimension: Int
  /// How many there are.
  public let count: Int
  /// ln w_k, normalised.
  let logWeights: [Double]
  /// m_k, one after another.
  let means: [Double]
  /// λ: one a component where all are isotropic, else d a component.
  let λ: [Double]
  /// U_k, d · d values a component; empty where the coordinates themselves are the axes of all.
  let axes: [Double]
  let labels: [Int]
  /// Components of each class, by its number.
  public let classCounts: [Int]

  /// - Throws: `GaussianMixtureError` where the components do not make a density.
  public init(_ components: [Component]) throws(GaussianMixtureError) {
    guard let first = components.first, !first.mean.isEmpty else { throw .empty }
    let d = first.mean.count
    var isIsotropic = true
    var isAligned = true
    for (k, component) in components.enumerated() {
      guard component.mean.count == d else { throw .dimension(component.mean.count, k, wanted: d) }
      guard component.weight > 0, component.weight.isFinite else { throw .weight(component.weight, k) }
      guard component.label >= 0 else { throw .label(component.label, k) }
      switch component.covariance {
      case .isotropic: break
      case .diagonal(let values):
        guard values.count == d else { throw .covariance(values.count, k, wanted: d) }
        isIsotropic = false
      case .full(let values):
        guard values.count == d * d else { throw .covariance(values.count, k, wanted: d * d) }
        (isIsotropic, isAligned) = (false, false)
      }
    }
    var λ: [Double] = []
    var axes: [Double] = []
    for (k, component) in components.enumerated() {
      var own: [Double]
      var u = isAligned ? [] : (0..<d * d).map { $0 % (d + 1) == 0 ? 1.0 : 0.0 }
      switch component.covariance {
      case .isotropic(let value): own = Array(repeating: value, count: isIsotropic ? 1 : d)
      case .diagonal(let values): own = values
      case .full(let values):
        let eigen = SymmetricEigen(values, dimension: d)
        (own, u) = (eigen.values, eigen.vectors)
      }
      let largest = own.max() ?? 0
      // An eigenvalue that is zero may come out a rounding error below.
      own = own.map { $0 < 0 && $0 > -1e-12 * largest ? 0 : $0 }
      if let worst = own.first(where: { !($0 >= 0 && $0.isFinite) }) { throw .variance(worst, k) }
      λ += own
      axes += u
    }
    let total = components.reduce(0) { $0 + $1.weight }
    dimension = d
    count = components.count
    logWeights = components.map { log($0.weight / total) }
    means = components.flatMap(\.mean)
    self.λ = λ
    self.axes = axes
    labels = components.map(\.label)
    classCounts = counted(labels)
  }

  /// E[x_0].
  public var mean: [Double] {
    (0..<dimension).map { i in (0..<count).reduce(0) { $0 + exp(logWeights[$1]) * means[$1 * dimension + i] } }
  }

  /// E‖x_0‖² = Σ_k w_k (‖m_k‖² + tr Σ_k).
  public var secondMoment: Double {
    (0..<count).reduce(0) { sum, k in
      let square = (0..<dimension).reduce(0) { $0 + means[k * dimension + $1] * means[k * dimension + $1] }
      return sum + exp(logWeights[k]) * (square + (0..<dimension).reduce(0) { $0 + eigenvalue(k, $1) })
    }
  }

  /// λ_i of component k.
  func eigenvalue(_ k: Int, _ i: Int) -> Double { λ.count == count ? λ[k] : λ[k * dimension + i] }

  /// A draw of x_0.
  ///
  /// - Parameters:
  ///   - u: uniform in [0, 1); it chooses the component.
  ///   - z: d values of N(0, 1).
  public func sample(u: Double, z: [Double]) -> (x: [Double], component: Int) {
    precondition(z.count == dimension, "\(z.count) normal values for a point of ℝ^\(dimension)")
    var (k, sum) = (0, exp(logWeights[0]))
    while sum <= u, k + 1 < count {
      k += 1
      sum += exp(logWeights[k])
    }
    // x_0 = m_k + U √λ z
    let scaled = (0..<dimension).map { eigenvalue(k, $0).squareRoot() * z[$0] }
    let turned = turn(scaled, k)
    return ((0..<dimension).map { means[k * dimension + $0] + turned[$0] }, k)
  }

  /// U_k y.
  func turn(_ y: [Double], _ k: Int) -> [Double] {
    guard !axes.isEmpty else { return y }
    let d = dimension
    return (0..<d).map { i in (0..<d).reduce(0) { $0 + axes[(k * d + i) * d + $1] * y[$1] } }
  }
}

/// How often each number from 0 to the largest occurs.
func counted(_ labels: [Int]) -> [Int] {
  var counts = [Int](repeating: 0, count: (labels.max() ?? -1) + 1)
  for label in labels { counts[label] += 1 }
  return counts
}

/// Why components do not make a mixture.
public enum GaussianMixtureError: Error, Equatable, CustomStringConvertible {
  case empty
  case dimension(Int, Int, wanted: Int)
  case weight(Double, Int)
  case label(Int, Int)
  case covariance(Int, Int, wanted: Int)
  case variance(Double, Int)

  public var description: String {
    switch self {
    case .empty: "a Gaussian mixture of no components: give at least one, of at least one dimension"
    case .dimension(let found, let k, let wanted):
      "component \(k) has \(found) coordinates, the first \(wanted): give all means the same"
    case .weight(let weight, let k): "component \(k) has weight \(weight): give a positive, finite one"
    case .label(let label, let k): "component \(k) has class \(label): classes count from 0"
    case .covariance(let found, let k, let wanted): "component \(k) has \(found) covariances: give \(wanted)"
    case .variance(let value, let k):
      "the covariance of component \(k) has an eigenvalue of \(value): it must be positive semidefinite and finite"
    }
  }
}
