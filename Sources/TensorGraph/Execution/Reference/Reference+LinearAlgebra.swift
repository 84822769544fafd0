extension Reference {
  /// Y = A′ B′ for each matrix of the leading dimensions, with A′ = Aᵀ or A, B′ = Bᵀ or B.
  static func matmul(_ a: Value, _ transposeA: Bool, _ b: Value, _ transposeB: Bool, to shape: Shape) -> [Double] {
    let (M, N) = (shape[shape.rank - 2], shape[shape.rank - 1])
    let K = a.shape[a.shape.rank - (transposeA ? 2 : 1)]
    // The distance between neighbours along M or N, and along K.
    let (aM, aK) = transposeA ? (1, M) : (K, 1)
    let (bN, bK) = transposeB ? (K, 1) : (1, N)
    // An operand without leading dimensions serves every product.
    let aMatrix = a.shape.rank == 2 ? 0 : M * K
    let bMatrix = b.shape.rank == 2 ? 0 : K * N

    var y = [Double](repeating: 0, count: shape.count)
    y.withUnsafeMutableBufferPointer { y in
      a.elements.withUnsafeBufferPointer { a in
        b.elements.withUnsafeBufferPointer { b in
          for batch in 0..<y.count / (M * N) {
            for m in 0..<M {
              for n in 0..<N {
                // y[m, n] = Σₖ a[m, k] b[k, n]
                var sum = 0.0
                for k in 0..<K {
                  sum += a[batch * aMatrix + m * aM + k * aK] * b[batch * bMatrix + k * bK + n * bN]
                }
                y[(batch * M + m) * N + n] = sum
              }
            }
          }
        }
      }
    }
    return y
  }
}
