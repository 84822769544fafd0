import Platform

/// When a picture is decided: the classes part at speciation, the single training points at collapse (Biroli, Bonnaire, de Bortoli & Mézard
/// 2024, "Dynamical regimes of diffusion models"; Raya & Ambrogioni 2023, "Spontaneous symmetry breaking in generative diffusion models").
///
/// Both are given as γ = ᾱ/(1 − ᾱ); `NoiseSchedule.timestep(whereSNR:)` says when that is.
public enum Regimes {
  /// Speciation, of the largest eigenvalue Λ of the data's covariance: the signal along its principal axis rises above the noise.
  public static func speciation(topEigenvalue Λ: Double) -> Double {
    // ᾱ Λ = 1 − ᾱ
    1 / Λ
  }

  /// Speciation of two points ±m, each of variance s²: −ln q_t turns from one valley into two. None where they overlap too much.
  public static func speciation(halfDistance m: Double, variance s²: Double) -> Double? {
    // ᾱ m² = 1 − ᾱ + ᾱ s²
    m * m > s² ? 1 / (m * m - s²) : nil
  }

  /// Collapse, of N points drawn from N(0, s² I) in D dimensions: all of ln N is known, I(x_0; x_t) = (D/2) ln(1 + γ s²) = ln N.
  public static func collapse(count N: Int, dimension D: Int, variance s²: Double) -> Double {
    // γ_C = (N^{2/D} − 1) / s²
    expm1(2 / Double(D) * log(Double(N))) / s²
  }
}

extension NoiseSchedule {
  /// The t at which ᾱ/(1 − ᾱ) is γ, between whole steps linear in ln γ; nil outside 1…T.
  public func timestep(whereSNR γ: Double) -> Double? {
    crossing(of: timesteps.map { -log(snr[$0]) }, level: -log(γ))
  }

  /// The t at which a table over t = 1…T (index t − 1) first crosses a level, linear between whole steps; nil where it never does.
  ///
  /// With I(x_0; x_t) and ln N it gives the collapse of a data set of N images.
  public func crossing(of table: [Double], level: Double) -> Double? {
    precondition(table.count == T, "\(table.count) values for T = \(T)")
    for i in table.indices {
      if table[i] == level { return Double(i + 1) }
      if i + 1 < T, (table[i] - level) * (table[i + 1] - level) < 0 {
        return Double(i + 1) + (level - table[i]) / (table[i + 1] - table[i])
      }
    }
    return nil
  }
}

/// The largest eigenvalue of the data's covariance and its direction, by power iteration over passes of the data: no D × D matrix.
public struct PrincipalAxis: Sendable {
  /// Λ.
  public let eigenvalue: Double
  /// A unit vector, D values.
  public let direction: [Double]
  /// E[x_0].
  public let mean: [Double]
  /// tr of the covariance: E‖x_0 − m‖².
  public let totalVariance: Double
  /// Passes over the data.
  public let passes: Int

  /// - Parameters:
  ///   - tolerance: stops where Λ changes by less than this fraction from one pass to the next.
  ///   - passes: the most passes over the data.
  ///   - pass: shows every sample, in batches, once; the same data each time it is called.
  /// - Throws: what `pass` throws.
  public init(
    dimension D: Int, tolerance: Double = 1e-6, passes limit: Int = 60,
    pass: (_ visit: (Images) -> Void) throws -> Void
  ) rethrows {
    var (count, mean, square) = (0.0, [Double](repeating: 0, count: D), 0.0)
    try pass { batch in
      precondition(batch.shape.dimension == D, "samples of \(batch.shape) are not of dimension \(D)")
      for n in 0..<batch.shape.count {
        let x = batch.scalars[batch.range(ofSample: n)]
        count += 1
        // Welford's update, coordinate by coordinate.
        for (j, value) in x.enumerated() {
          let before = Double(value) - mean[j]
          mean[j] += before / count
          square += before * (Double(value) - mean[j])
        }
      }
    }
    precondition(count > 0, "the covariance of no data")
    // Any start but one orthogonal to the axis will do: a fixed one that is like no data.
    var v = (0..<D).map { cos(1 + 2.399_963 * Double($0)) }
    Self.normalise(&v)
    var (Λ, done) = (0.0, 1)
    while done < limit {
      var next = [Double](repeating: 0, count: D)
      try pass { batch in
        for n in 0..<batch.shape.count {
          let start = batch.range(ofSample: n).lowerBound
          var along = 0.0
          for j in 0..<D { along += (Double(batch.scalars[start + j]) - mean[j]) * v[j] }
          for j in 0..<D { next[j] += along * (Double(batch.scalars[start + j]) - mean[j]) }
        }
      }
      done += 1
      // Λ ≈ vᵀ C v, and v ← C v/‖C v‖
      let before = Λ
      Λ = zip(v, next).reduce(0) { $0 + $1.0 * $1.1 } / count
      guard Self.normalise(&next) else { break }
      v = next
      if abs(Λ - before) <= tolerance * Λ { break }
    }
    (eigenvalue, direction, passes) = (Λ, v, done)
    self.mean = mean
    totalVariance = square / count
  }

  /// Whether there was a direction.
  @discardableResult private static func normalise(_ v: inout [Double]) -> Bool {
    let length = v.reduce(0) { $0 + $1 * $1 }.squareRoot()
    guard length > 0 else { return false }
    for j in v.indices { v[j] /= length }
    return true
  }
}
