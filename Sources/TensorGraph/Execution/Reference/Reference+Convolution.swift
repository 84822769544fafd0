/// Where a convolution multiplies: the walk that the operator and both of its gradients share, for they multiply the same
/// triples (x, w, y) and differ only in which of the three they add to.
private struct ConvolutionTaps {
  let convolution: Convolution
  let x: Shape
  let w: Shape
  let y: Shape

  /// Neighbours along a row of y: y[y + j], x[x + j · stride] for 0 ≤ j < count, all under the one weight w[w].
  struct Row {
    var x: Int, w: Int, y: Int, count: Int, stride: Int

    /// Calls `body` with the positions in x and in y. Unchecked arithmetic and a loop of its own for stride 1 let it be vectorised.
    @inline(__always)
    func forEach(_ body: (_ i: Int, _ j: Int) -> Void) {
      if stride == 1 {
        for j in 0..<count { body(x &+ j, y &+ j) }
      } else {
        for j in 0..<count { body(x &+ j &* stride, y &+ j) }
      }
    }
  }

  /// Calls `body` for every row of products whose pixel lies within x:
  /// y[n, co, i, j] ↔ w[co, ci, a, b] ↔ x[n, ci, s·i + a − top, s·j + b − left].
  @inline(__always)
  func forEachRow(_ body: (Row) -> Void) {
    let s = convolution.stride
    let rows = (0..<w[2]).map { a in outputs(tap: a - convolution.padding.top, input: x[2], output: y[2]) }
    let columns = (0..<w[3]).map { b in outputs(tap: b - convolution.padding.left, input: x[3], output: y[3]) }
    for n in 0..<y[0] {
      for co in 0..<y[1] {
        for ci in 0..<x[1] {
          for a in 0..<w[2] {
            for b in 0..<w[3] {
              let weight = ((co * w[1] + ci) * w[2] + a) * w[3] + b
              for i in rows[a] {
                let yRow = ((n * y[1] + co) * y[2] + i) * y[3]
                let xRow = ((n * x[1] + ci) * x[2] + s * i + a - convolution.padding.top) * x[3]
                let j = columns[b].lowerBound
                body(
                  Row(
                    x: xRow + s * j + b - convolution.padding.left, w: weight, y: yRow + j, count: columns[b].count,
                    stride: s))
              }
            }
          }
        }
      }
    }
  }

  /// The i with 0 ≤ s·i + tap < `input`, among the `output` there are.
  private func outputs(tap: Int, input: Int, output: Int) -> Range<Int> {
    let s = convolution.stride
    // First: ⌈−tap / s⌉. End: ⌈(input − tap) / s⌉.
    let first = tap >= 0 ? 0 : (s - 1 - tap) / s
    let end = input <= tap ? 0 : (input - tap + s - 1) / s
    return first < min(end, output) ? first..<min(end, output) : 0..<0
  }
}

extension Reference {
  /// y[n, co, i, j] = bias[co] + Σ w[co, ci, a, b] x[n, ci, s·i + a − top, s·j + b − left], where x is zero outside.
  static func convolution(
    _ convolution: Convolution, _ x: Value, kernel w: Value, bias: Value?, to shape: Shape
  ) -> [Double] {
    let taps = ConvolutionTaps(convolution: convolution, x: x.shape, w: w.shape, y: shape)
    let plane = shape[2] * shape[3]
    var result = [Double](repeating: 0, count: shape.count)
    if let bias { for i in result.indices { result[i] = bias.elements[i / plane % shape[1]] } }
    result.withUnsafeMutableBufferPointer { y in
      x.elements.withUnsafeBufferPointer { x in
        w.elements.withUnsafeBufferPointer { w in
          taps.forEachRow { row in
            row.forEach { i, j in y[j] += w[row.w] * x[i] }
          }
        }
      }
    }
    return result
  }

  /// dx[pixel] = Σ w dy over the products that the pixel takes part in.
  static func convolutionInputGradient(
    _ convolution: Convolution, dy: Value, kernel w: Value, to shape: Shape
  ) -> [Double] {
    let taps = ConvolutionTaps(convolution: convolution, x: shape, w: w.shape, y: dy.shape)
    var result = [Double](repeating: 0, count: shape.count)
    result.withUnsafeMutableBufferPointer { dx in
      dy.elements.withUnsafeBufferPointer { dy in
        w.elements.withUnsafeBufferPointer { w in
          taps.forEachRow { row in
            row.forEach { i, j in dx[i] += w[row.w] * dy[j] }
          }
        }
      }
    }
    return result
  }

  /// dw[weight] = Σ x dy over the products that the weight takes part in; dbias[co] = Σ dy[n, co, i, j].
  static func convolutionWeightGradient(
    _ convolution: Convolution, _ x: Value, dy: Value, bias: Bool, to kernel: Shape
  ) -> [[Double]] {
    let taps = ConvolutionTaps(convolution: convolution, x: x.shape, w: kernel, y: dy.shape)
    var result = [Double](repeating: 0, count: kernel.count)
    result.withUnsafeMutableBufferPointer { dw in
      x.elements.withUnsafeBufferPointer { x in
        dy.elements.withUnsafeBufferPointer { dy in
          taps.forEachRow { row in
            var sum = 0.0
            row.forEach { i, j in sum += x[i] * dy[j] }
            dw[row.w] += sum
          }
        }
      }
    }
    return bias ? [result, sum(dy, axes: [0, 2, 3])] : [result]
  }
}
