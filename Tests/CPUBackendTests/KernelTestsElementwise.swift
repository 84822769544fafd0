import CKernels
import Platform
import Testing

struct UnaryCase: CustomTestStringConvertible, Sendable {
  var name: String
  var op: ck_unary
  var range: ClosedRange<Double> = -12...12
  var a: Float = 0, b: Float = 0
  /// Relative, and absolute where the value passes zero.
  var tolerance = 2.5e-7, absolute = 1e-30
  var reference: @Sendable (Double) -> Double
  var testDescription: String { name }

  static let table: [UnaryCase] = [
    .init(name: "neg", op: CK_NEG) { -$0 },
    .init(name: "exp", op: CK_EXP, range: -100...88) { exp($0) },
    .init(name: "log", op: CK_LOG, range: 1e-3...50) { log($0) },
    .init(name: "sqrt", op: CK_SQRT, range: 0...9) { $0.squareRoot() },
    .init(name: "rsqrt", op: CK_RSQRT, range: 0.01...9) { 1 / $0.squareRoot() },
    .init(name: "square", op: CK_SQUARE) { $0 * $0 },
    .init(name: "abs", op: CK_ABS) { abs($0) },
    .init(name: "reciprocal", op: CK_RECIPROCAL, range: 0.1...5) { 1 / $0 },
    .init(name: "tanh", op: CK_TANH) { tanh($0) },
    .init(name: "sigmoid", op: CK_SIGMOID, range: -80...80, tolerance: 4e-7) { 1 / (1 + exp(-$0)) },
    .init(name: "silu", op: CK_SILU, range: -80...80, tolerance: 4e-7) { $0 / (1 + exp(-$0)) },
    .init(name: "mish", op: CK_MISH, range: -20...30, tolerance: 6e-7) { $0 * tanh(log1p(exp($0))) },
    .init(name: "gelu", op: CK_GELU, range: -5...8, tolerance: 4e-6) { 0.5 * $0 * erfc(-$0 / 2.0.squareRoot()) },
    .init(name: "relu", op: CK_RELU) { max($0, 0) },
    .init(name: "softplus", op: CK_SOFTPLUS, range: -30...90) { $0 > 0 ? $0 + log1p(exp(-$0)) : log1p(exp($0)) },
    .init(name: "step", op: CK_STEP) { $0 > 0 ? 1 : 0 },
    .init(name: "erf", op: CK_ERF) { erf($0) },
    .init(name: "erfc", op: CK_ERFC, range: -5...8) { erfc($0) },
    .init(name: "sin", op: CK_SIN, absolute: 1e-7) { sin($0) },
    .init(name: "cos", op: CK_COS, absolute: 1e-7) { cos($0) },
    .init(name: "expm1", op: CK_EXPM1, range: -5...20) { expm1($0) },
    .init(name: "log1p", op: CK_LOG1P, range: -0.9...20) { log1p($0) },
    .init(name: "scale", op: CK_SCALE, a: 2.5) { $0 * 2.5 },
    .init(name: "add scalar", op: CK_ADD_SCALAR, a: 2.5, absolute: 1e-6) { $0 + 2.5 },
    .init(name: "clamp", op: CK_CLAMP, a: -1, b: 2) { min(max($0, -1), 2) },
  ]
}

extension KernelTests {
  @Test(arguments: UnaryCase.table) func unary(_ k: UnaryCase) {
    for n in [1, 15, 16, 17, 1001] {
      let width = k.range.upperBound - k.range.lowerBound
      let x = (0..<n).map { Float(k.range.lowerBound + width * (Double($0) + 0.37) / Double(n)) }
      withThreads(2) {
        let y = Guarded(x)
        ck_unary_apply(k.op, y.pointer, y.pointer, n, k.a, k.b)
        for (input, found) in zip(x, y.values) {
          let expected = k.reference(Double(input))
          let error = abs(Double(found) - expected)
          #expect(
            error <= max(k.tolerance * abs(expected), k.absolute), "\(k.name)(\(input)) = \(found), not \(expected)")
        }
        #expect(y.isIntact)
      }
    }
  }

  /// NaN, ±∞ and the ends of the range, in a vector's body and in its tail.
  @Test func unaryExtremes() {
    let inf = Float.infinity
    let table: [(ck_unary, Float, Float)] = [
      (CK_EXP, .nan, .nan), (CK_EXP, inf, inf), (CK_EXP, -inf, 0), (CK_EXP, 89, inf), (CK_EXP, -104, 0),
      (CK_EXP, 0, 1), (CK_SILU, .nan, .nan), (CK_SILU, inf, inf), (CK_SILU, -inf, .nan), (CK_SIGMOID, inf, 1),
      (CK_SIGMOID, -inf, 0), (CK_SIGMOID, .nan, .nan), (CK_RELU, .nan, .nan), (CK_RELU, inf, inf), (CK_RELU, -inf, 0),
      (CK_CLAMP, .nan, .nan), (CK_CLAMP, inf, 2), (CK_CLAMP, -inf, -1), (CK_LOG, 0, -inf), (CK_LOG, -1, .nan),
      (CK_SQRT, -1, .nan), (CK_TANH, inf, 1), (CK_TANH, .nan, .nan), (CK_SOFTPLUS, inf, inf), (CK_SOFTPLUS, -inf, 0),
      (CK_SOFTPLUS, .nan, .nan), (CK_ABS, .nan, .nan), (CK_ABS, -inf, inf), (CK_STEP, .nan, 0), (CK_ERF, -inf, -1),
      (CK_GELU, inf, inf), (CK_MISH, inf, inf), (CK_MISH, .nan, .nan), (CK_RECIPROCAL, 0, inf), (CK_NEG, inf, -inf),
    ]
    for (op, input, expected) in table {
      for n in [1, 16] {
        var y = [Float](repeating: input, count: n)
        ck_unary_apply(op, y, &y, n, -1, 2)
        let matches = y.allSatisfy { $0 == expected || ($0.isNaN && expected.isNaN) }
        #expect(matches, "op \(op.rawValue) of \(input) gave \(y[0]), not \(expected)")
      }
    }
  }

  @Test func binaryOperators() {
    var noise = Noise(4)
    let table: [(ck_binary, (Float, Float) -> Float)] = [
      (CK_ADD, { $0 + $1 }), (CK_SUB, { $0 - $1 }), (CK_MUL, { $0 * $1 }), (CK_DIV, { $0 / $1 }),
      (CK_MAX, { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }), (CK_MIN, { $0.isNaN || $1.isNaN ? .nan : min($0, $1) }),
    ]
    for n in [1, 16, 37, 500] {
      var left = noise.array(n, scale: 3)
      var right = noise.array(n, scale: 3)
      left[0] = .nan
      right[n - 1] = .nan
      if n > 20 {
        left[3] = .infinity
        right[4] = -.infinity
        right[5] = left[5]
      }
      for (op, reference) in table {
        withThreads(2) {
          let y = Guarded(empty: n)
          ck_binary_apply(op, left, right, y.pointer, n)
          let expected = zip(left, right).map { Double(reference($0, $1)) }
          #expect(largestError(y.values, expected) == 0, "op \(op.rawValue), n \(n)")
          #expect(y.isIntact)
        }
      }
    }
  }

  @Test func broadcasts() {
    var noise = Noise(6)
    // (shape, left axes present, right axes present)
    let table: [([Int], [Bool], [Bool])] = [
      ([5], [true], [false]), ([3, 40], [true, true], [false, true]), ([3, 40], [true, false], [true, true]),
      ([2, 3, 7, 16], [true, true, true, true], [true, true, false, true]),
      ([2, 6, 33], [true, true, true], [false, true, false]),
      ([4, 1, 5, 3], [true, false, true, false], [false, true, true, true]),
      ([1], [true], [false]),
      ([2, 3, 2, 3, 2, 5], [true, false, true, false, true, false], [false, true, false, true, false, true]),
    ]
    for (shape, hasLeft, hasRight) in table {
      func strides(_ present: [Bool]) -> ([Int], Int) {
        var (result, stride) = ([Int](repeating: 0, count: shape.count), 1)
        for d in shape.indices.reversed() where present[d] {
          result[d] = stride
          stride *= shape[d]
        }
        return (result, stride)
      }
      let (leftStrides, leftCount) = strides(hasLeft)
      let (rightStrides, rightCount) = strides(hasRight)
      let left = noise.array(leftCount)
      let right = noise.array(rightCount)
      let count = shape.reduce(1, *)
      let expected = (0..<count).map { linear in
        var (rest, l, r) = (linear, 0, 0)
        for d in shape.indices.reversed() {
          l += rest % shape[d] * leftStrides[d]
          r += rest % shape[d] * rightStrides[d]
          rest /= shape[d]
        }
        return Double(left[l] - right[r])
      }
      for threads: Int32 in [1, 3] {
        withThreads(threads) {
          let y = Guarded(empty: count)
          ck_binary_broadcast(CK_SUB, left, leftStrides, right, rightStrides, y.pointer, Int32(shape.count), shape)
          #expect(largestError(y.values, expected) == 0, "\(shape)")
          #expect(y.isIntact)
        }
      }
    }
  }

  @Test func otherMaps() {
    var noise = Noise(8)
    let n = 77
    let a = noise.array(n)
    withThreads(2) {
      let y = Guarded(empty: n)
      ck_fill(y.pointer, n, 2)
      ck_accumulate(a, y.pointer, n)
      #expect(largestError(y.values, a.map { 2 + Double($0) }) < 1e-6)
      #expect(y.isIntact)
    }
  }

  @Test func sumOfSquares() {
    var noise = Noise(10)
    for n in [0, 1, 17, 1024, 100_003] {
      let x = noise.array(n, offset: 100)
      for threads: Int32 in [1, 2, 3] {
        withThreads(threads) {
          let squares = x.reduce(0.0) { $0 + Double($1) * Double($1) }
          #expect(abs(ck_sum_of_squares(x, n) - squares) <= 1e-6 * squares)
        }
      }
    }
  }

  @Test func sums() {
    var noise = Noise(12)
    let table: [([Int], [Int32])] = [
      ([7], [1]), ([5, 300], [0, 1]), ([300, 5], [1, 0]), ([300, 50], [1, 0]), ([3, 4, 5], [0, 1, 0]),
      ([3, 4, 5], [1, 0, 1]),
      ([2, 3, 40, 16], [1, 0, 1, 0]), ([2, 3, 4, 5, 6], [0, 1, 0, 1, 0]), ([4, 6], [0, 0]), ([130, 200], [1, 0]),
      ([2, 3, 2, 3, 2, 3], [1, 0, 1, 0, 0, 1]),
    ]
    for (shape, reduced) in table {
      let count = shape.reduce(1, *)
      let x = noise.array(count)
      var strides = [Int](repeating: 1, count: shape.count)
      for d in shape.indices.dropLast().reversed() { strides[d] = strides[d + 1] * shape[d + 1] }
      let outCount = zip(shape, reduced).map { $1 == 0 ? $0 : 1 }.reduce(1, *)
      var sum = [Double](repeating: 0, count: outCount)
      for linear in 0..<count {
        var at = 0
        for d in shape.indices where reduced[d] == 0 { at = at * shape[d] + linear / strides[d] % shape[d] }
        sum[at] += Double(x[linear])
      }
      for threads: Int32 in [1, 3] {
        withThreads(threads) {
          let y = Guarded(empty: outCount)
          ck_sum_axes(x, strides, Int32(shape.count), shape, reduced, y.pointer)
          #expect(largestError(y.values, sum) < 1e-5, "\(shape) \(reduced)")
          #expect(y.isIntact)
        }
      }
    }
    // Channels.
    let x = noise.array(3 * 20 * 70)
    withThreads(2) {
      let expected = (0..<20).map { c in
        (0..<3).reduce(0.0) { total, n in (0..<70).reduce(total) { $0 + Double(x[(n * 20 + c) * 70 + $1]) } }
      }
      let channels = Guarded(empty: 20)
      ck_channel_sums(x, channels.pointer, 3, 20, 70, 0)
      #expect(largestError(channels.values, expected) < 2e-5)
      ck_channel_sums(blocked(x, samples: 3, channels: 20, pixels: 70), channels.pointer, 3, 20, 70, 1)
      #expect(largestError(channels.values, expected) < 2e-5)
      #expect(channels.isIntact)
    }
  }
}
