import Platform
import TensorGraph

/// The standard normal distribution, accurate in relative terms far into its tails.
package enum NormalDistribution {
  /// ln Φ(z).
  package static func logCDF(_ z: Double) -> Double { UnaryOp.logNormalCDF(z) }

  /// ln(Φ(b) − Φ(a)) for a < b, either of which may be infinite.
  package static func logMass(from a: Double, to b: Double) -> Double {
    // The upper tail mirrored: differences of numbers near 1 lose what differences of small numbers keep.
    if a > 0 { return logMass(from: -b, to: -a) }
    if a == -.infinity { return logCDF(b) }
    if b == .infinity { return logCDF(-a) }
    let root2 = 2.0.squareRoot()
    if b > 0 {
      // Across the middle: what both tails leave where they are small, else both halves added up.
      let tails = (erfc(b / root2) + erfc(-a / root2)) / 2
      return tails < 0.5 ? log1p(-tails) : log((erf(b / root2) + erf(-a / root2)) / 2)
    }
    // ln(Φ(b) − Φ(a)) = ln Φ(b) + ln(1 − e^{ln Φ(a) − ln Φ(b)})
    let upper = logCDF(b)
    return upper + log(-expm1(logCDF(a) - upper))
  }
}
