extension Reference {
  /// y = f(a, b), both broadcast to `shape`.
  static func binary(_ function: BinaryOp, _ a: Value, _ b: Value, to shape: Shape) -> [Double] {
    zip(broadcast(a, to: shape), broadcast(b, to: shape)).map { function($0, $1) }
  }

  /// Stretches dimensions of 1 to those of `shape`.
  static func broadcast(_ x: Value, to shape: Shape) -> [Double] {
    x.shape == shape ? x.elements : read(x, strides: x.shape.broadcastStrides(to: shape), as: shape)
  }

  /// The tensor of `shape` whose element at index (i₀, i₁, …) is element `start` + Σ iₐ · strides[a] of `x`.
  static func read(_ x: Value, start: Int = 0, strides: [Int], as shape: Shape) -> [Double] {
    var y = [Double](repeating: 0, count: shape.count)
    walk(shape, start: start, strides: strides) { i, offset in y[i] = x.elements[offset] }
    return y
  }

  /// Calls `body` with i = 0, 1, 2, … and `start` + Σ iₐ · strides[a] for the row-major indices (i₀, i₁, …) of `shape`.
  @inline(__always)
  static func walk(_ shape: Shape, start: Int = 0, strides: [Int], _ body: (_ i: Int, _ offset: Int) -> Void) {
    let rank = shape.rank
    guard let columns = shape.dimensions.last, let step = strides.last else { return body(0, start) }
    var index = [Int](repeating: 0, count: rank)
    var offset = start
    for row in 0..<shape.count / columns {
      for column in 0..<columns { body(row * columns + column, offset + column * step) }
      // To the next row, carrying over like an odometer.
      var axis = rank - 2
      while axis >= 0 {
        index[axis] += 1
        offset += strides[axis]
        if index[axis] < shape[axis] { break }
        offset -= index[axis] * strides[axis]
        index[axis] = 0
        axis -= 1
      }
    }
  }
}
