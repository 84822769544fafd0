import Platform

extension Reference {
  /// y[n, …] = table[indices[n], …]
  static func gatherRows(table: Value, indices: Value, to shape: Shape) throws(ExecutionError) -> [Double] {
    let width = shape.count / shape[0]
    var y: [Double] = []
    y.reserveCapacity(shape.count)
    for index in indices.elements {
      let row = try checked(index, count: table.shape[0], "gatherRows")
      y += table.elements[row * width..<(row + 1) * width]
    }
    return y
  }

  /// y[indices[n], …] += rows[n, …], from zero.
  static func scatterAddRows(_ rows: Value, indices: Value, to shape: Shape) throws(ExecutionError) -> [Double] {
    let width = shape.count / shape[0]
    var y = [Double](repeating: 0, count: shape.count)
    for (n, index) in indices.elements.enumerated() {
      let row = try checked(index, count: shape[0], "scatterAddRows")
      for j in 0..<width { y[row * width + j] += rows.elements[n * width + j] }
    }
    return y
  }

  private static func checked(_ index: Double, count: Int, _ op: String) throws(ExecutionError) -> Int {
    let row = Int(index)
    guard (0..<count).contains(row) else { throw .indexOutOfRange(op: op, index: row, count: count) }
    return row
  }

  /// Angle i of timestep t is t · P^(−i / (d/2 − shift)) for 0 ≤ i < d/2; their sines, then their cosines, or the other way round.
  /// An odd dimension ends with a zero, as in diffusers.
  static func sinusoidalEmbedding(_ embedding: SinusoidalEmbedding, _ timesteps: Value) -> [Double] {
    let half = embedding.dimension / 2
    var y = [Double](repeating: 0, count: timesteps.shape[0] * embedding.dimension)
    for (n, t) in timesteps.elements.enumerated() {
      for i in 0..<half {
        let angle = t * pow(embedding.maxPeriod, -Double(i) / (Double(half) - embedding.frequencyShift))
        let (first, second) = embedding.flipSinToCos ? (cos(angle), sin(angle)) : (sin(angle), cos(angle))
        y[n * embedding.dimension + i] = first
        y[n * embedding.dimension + half + i] = second
      }
    }
    return y
  }
}
