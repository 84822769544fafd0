/// A = U Λ Uᵀ for a small symmetric matrix, by Jacobi's rotations (Golub & Van Loan, "Matrix Computations", section 8.5).
package struct SymmetricEigen: Sendable {
  /// Λ, unsorted.
  package let values: [Double]
  /// U, row by row: column j belongs to `values[j]`.
  package let vectors: [Double]

  /// - Parameter matrix: d · d values, of which the upper triangle counts.
  package init(_ matrix: [Double], dimension d: Int) {
    precondition(matrix.count == d * d, "\(matrix.count) values for a \(d)×\(d) matrix")
    var a = matrix
    for i in 0..<d { for j in 0..<i { a[i * d + j] = a[j * d + i] } }
    var u = (0..<d * d).map { $0 % (d + 1) == 0 ? 1.0 : 0.0 }
    // Each sweep squares what is left off the diagonal, once it is small: 60 sweeps are far more than any matrix needs.
    for _ in 0..<60 {
      var (off, diagonal) = (0.0, 0.0)
      for i in 0..<d {
        for j in 0..<d { i == j ? (diagonal += a[i * d + j] * a[i * d + j]) : (off += a[i * d + j] * a[i * d + j]) }
      }
      if off <= 1e-32 * diagonal { break }
      for p in 0..<d {
        for q in p + 1..<d where a[p * d + q] != 0 {
          // tan φ of the smaller rotation that makes a_pq zero
          let θ = (a[q * d + q] - a[p * d + p]) / (2 * a[p * d + q])
          let t = (θ < 0 ? -1 : 1) / (abs(θ) + (θ * θ + 1).squareRoot())
          let c = 1 / (t * t + 1).squareRoot()
          let s = t * c
          for k in 0..<d {
            let (x, y) = (a[k * d + p], a[k * d + q])
            (a[k * d + p], a[k * d + q]) = (c * x - s * y, s * x + c * y)
          }
          for k in 0..<d {
            let (x, y) = (a[p * d + k], a[q * d + k])
            (a[p * d + k], a[q * d + k]) = (c * x - s * y, s * x + c * y)
          }
          for k in 0..<d {
            let (x, y) = (u[k * d + p], u[k * d + q])
            (u[k * d + p], u[k * d + q]) = (c * x - s * y, s * x + c * y)
          }
        }
      }
    }
    values = (0..<d).map { a[$0 * (d + 1)] }
    vectors = u
  }
}
