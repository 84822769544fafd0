extension Reference {
  static func transpose(_ x: Value, _ permutation: [Int], to shape: Shape) -> [Double] {
    let strides = x.shape.strides
    return read(x, strides: permutation.map { strides[$0] }, as: shape)
  }

  static func slice(_ x: Value, axis: Int, from: Int, to shape: Shape) -> [Double] {
    let strides = x.shape.strides
    return read(x, start: from * strides[axis], strides: strides, as: shape)
  }

  static func concat(_ parts: [Value], axis: Int, to shape: Shape) -> [Double] {
    var y = [Double](repeating: 0, count: shape.count)
    var start = 0
    for part in parts {
      place(part, into: &y, shape, axis: axis, at: start)
      start += part.shape[axis]
    }
    return y
  }

  static func pad(_ x: Value, axis: Int, before: Int, to shape: Shape) -> [Double] {
    var y = [Double](repeating: 0, count: shape.count)
    place(x, into: &y, shape, axis: axis, at: before)
    return y
  }

  /// Writes `x` into `y` at `position` along `axis`.
  private static func place(_ x: Value, into y: inout [Double], _ shape: Shape, axis: Int, at position: Int) {
    let strides = shape.strides
    walk(x.shape, start: position * strides[axis], strides: strides) { i, offset in y[offset] = x.elements[i] }
  }

  /// y[n, c, i, j] = x[n, c, ⌊i/k⌋, ⌊j/k⌋]
  static func upsampleNearest(_ x: Value, _ k: Int, to shape: Shape) -> [Double] {
    let (height, width) = (shape[2], shape[3])
    var y = [Double](repeating: 0, count: shape.count)
    for plane in 0..<shape[0] * shape[1] {
      for i in 0..<height {
        for j in 0..<width {
          y[(plane * height + i) * width + j] = x.elements[(plane * (height / k) + i / k) * (width / k) + j / k]
        }
      }
    }
    return y
  }

  /// y[n, c, i, j] = 1/k² Σ x[n, c, ki + a, kj + b] over 0 ≤ a, b < k
  static func averagePool(_ x: Value, _ k: Int, to shape: Shape) -> [Double] {
    let (height, width) = (x.shape[2], x.shape[3])
    var y = [Double](repeating: 0, count: shape.count)
    for plane in 0..<shape[0] * shape[1] {
      for i in 0..<height {
        for j in 0..<width {
          y[(plane * (height / k) + i / k) * (width / k) + j / k] += x.elements[(plane * height + i) * width + j]
        }
      }
    }
    return y.map { $0 / Double(k * k) }
  }

  /// The sum over `axes`: every element goes to the place that it keeps when those axes are gone.
  static func sum(_ x: Value, axes: [Int]) -> [Double] {
    var kept = x.shape
    for axis in axes { kept[axis] = 1 }
    var y = [Double](repeating: 0, count: kept.count)
    walk(x.shape, strides: kept.broadcastStrides(to: x.shape)) { i, offset in y[offset] += x.elements[i] }
    return y
  }
}
