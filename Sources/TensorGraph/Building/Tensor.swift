/// A tensor of a program under construction: a shape, an element type and a place in the graph. It holds no numbers.
public struct Tensor {
  /// The graph it is part of; operands are always of one graph.
  public let builder: GraphBuilder
  let id: Program.ValueID
  /// All that is known of it; a stand-in after a shape error, which `finish()` throws.
  public let type: TensorType

  init(builder: GraphBuilder, id: Program.ValueID, type: TensorType) {
    self.builder = builder
    self.id = id
    self.type = type
  }

  /// [] for a scalar.
  public var shape: Shape { type.shape }
  /// Floating point, but for timesteps, labels and counters.
  public var dtype: DType { type.dtype }

  private func apply(_ op: Op, _ others: Tensor...) -> Tensor { builder.apply(op, [self] + others) }
}

// MARK: - Element by element

extension Tensor {
  /// a + b, element by element, broadcast by NumPy's rule.
  public static func + (a: Tensor, b: Tensor) -> Tensor { a.apply(.binary(.add), b) }
  /// a − b, element by element, broadcast by NumPy's rule.
  public static func - (a: Tensor, b: Tensor) -> Tensor { a.apply(.binary(.subtract), b) }
  /// a · b, element by element, broadcast by NumPy's rule; `matmul` is the product of matrices.
  public static func * (a: Tensor, b: Tensor) -> Tensor { a.apply(.binary(.multiply), b) }
  /// a / b, element by element, broadcast by NumPy's rule.
  public static func / (a: Tensor, b: Tensor) -> Tensor { a.apply(.binary(.divide), b) }

  /// −a of each element.
  public static prefix func - (a: Tensor) -> Tensor { a.unary(.negate) }
  /// a + b of each element; `a` itself where b = 0.
  public static func + (a: Tensor, b: Double) -> Tensor { b == 0 ? a : a.unary(.offset(b)) }
  /// a + b of each element; `b` itself where a = 0.
  public static func + (a: Double, b: Tensor) -> Tensor { b + a }
  /// a − b of each element; `a` itself where b = 0.
  public static func - (a: Tensor, b: Double) -> Tensor { a + (-b) }
  /// a − b of each element.
  public static func - (a: Double, b: Tensor) -> Tensor { -b + a }
  /// a · b of each element; `a` itself where b = 1.
  public static func * (a: Tensor, b: Double) -> Tensor { b == 1 ? a : a.unary(.scale(b)) }
  /// a · b of each element; `b` itself where a = 1.
  public static func * (a: Double, b: Tensor) -> Tensor { b * a }
  /// a · (1/b) of each element: b is inverted in 64 bits.
  public static func / (a: Tensor, b: Double) -> Tensor { a * (1 / b) }
  /// a / b of each element.
  public static func / (a: Double, b: Tensor) -> Tensor { b.unary(.reciprocal) * a }

  /// A function of each element.
  public func unary(_ function: UnaryOp) -> Tensor { apply(.unary(function)) }

  /// eˣ of each element.
  public func exp() -> Tensor { unary(.exp) }
  /// The natural logarithm of each element.
  public func log() -> Tensor { unary(.log) }
  /// √x of each element.
  public func squareRoot() -> Tensor { unary(.squareRoot) }
  /// x² of each element.
  public func squared() -> Tensor { unary(.square) }
  /// The sine of each element, in radians.
  public func sin() -> Tensor { unary(.sin) }
  /// The cosine of each element, in radians.
  public func cos() -> Tensor { unary(.cos) }
  /// The hyperbolic tangent of each element.
  public func tanh() -> Tensor { unary(.tanh) }
  /// 1/(1 + e⁻ˣ) of each element.
  public func sigmoid() -> Tensor { unary(.sigmoid) }
  /// x/(1 + e⁻ˣ) of each element.
  public func silu() -> Tensor { unary(.silu) }
  /// Limits every element to `bounds`; the gradient is zero outside.
  public func clamped(to bounds: ClosedRange<Double>) -> Tensor { unary(.clamp(bounds.lowerBound, bounds.upperBound)) }
  /// The greater of both, broadcast by NumPy's rule; equal elements share the gradient.
  public func maximum(_ other: Tensor) -> Tensor { apply(.binary(.maximum), other) }
  /// The less of both, broadcast by NumPy's rule; equal elements share the gradient.
  public func minimum(_ other: Tensor) -> Tensor { apply(.binary(.minimum), other) }

  /// Integers as floating point.
  public func toFloat() -> Tensor { apply(.toFloat) }

  /// The same tensor, through which no gradient flows.
  public func detached() -> Tensor { apply(.detach) }

  /// The mean over the devices that share a batch.
  public func allReducedMean() -> Tensor { apply(.allReduceMean) }
}

// MARK: - Linear algebra

extension Tensor {
  /// (…, M, K) × (…, K, N) → (…, M, N), each operand transposed first if asked.
  public func matmul(_ other: Tensor, transposeA: Bool = false, transposeB: Bool = false) -> Tensor {
    apply(.matmul(transposeA: transposeA, transposeB: transposeB), other)
  }

  /// x Wᵀ + b for x (…, in), W (out, in), b (out).
  public func linear(_ weight: Tensor, _ bias: Tensor?) -> Tensor {
    let product = matmul(weight, transposeB: true)
    return bias.map { product + $0 } ?? product
  }

  /// The image (N, Ci, H, W) convolved with `kernel` (Co, Ci, Kh, Kw), plus `bias` (Co).
  public func convolved(
    _ kernel: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Convolution.Padding = .init(0)
  ) -> Tensor {
    builder.apply(
      .convolution(Convolution(stride: stride, padding: padding)), [self, kernel] + (bias.map { [$0] } ?? []))
  }

  /// Group normalisation of x (N, C, …), then SiLU if asked. `shift` (N, C) is added to x first.
  public func groupNorm(
    _ gamma: Tensor, _ beta: Tensor, groups: Int, epsilon: Double, shift: Tensor? = nil, silu: Bool = false
  ) -> Tensor {
    builder.applyAll(
      .groupNorm(GroupNorm(groups: groups, epsilon: epsilon, silu: silu)),
      [self, gamma, beta] + (shift.map { [$0] } ?? [])
    )[0]
  }

  /// Along the last axis.
  public func softmax() -> Tensor { apply(.softmax) }
}

/// softmax(scale · qᵀk) vᵀ for each head: q, k, v (N, heads·d, L) → (N, heads·d, L). The scale is 1/√d unless given.
public func attention(q: Tensor, k: Tensor, v: Tensor, heads: Int = 1, scale: Double? = nil) -> Tensor {
  let headDimension = max(1, (q.shape.dimensions.dropFirst().first ?? 1) / max(1, heads))
  let scale = scale ?? 1 / Double(headDimension).squareRoot()
  return q.builder.applyAll(.attention(Attention(heads: heads, scale: scale)), [q, k, v])[0]
}

// MARK: - Shape

extension Tensor {
  /// The same elements in row-major order; as many as before.
  public func reshaped(_ shape: Shape) -> Tensor { shape == self.shape ? self : apply(.reshape(shape)) }
  /// Axis i of the result is axis `permutation[i]`.
  public func transposed(_ permutation: [Int]) -> Tensor { apply(.transpose(permutation)) }
  /// Part of one axis; `range` lies within it and is not empty.
  public func sliced(axis: Int, _ range: Range<Int>) -> Tensor {
    apply(.slice(axis: axis, from: range.lowerBound, to: range.upperBound))
  }
  /// Zeros before and after, along one axis.
  public func padded(axis: Int, before: Int, after: Int) -> Tensor {
    apply(.pad(axis: axis, before: before, after: after))
  }
  /// Stretches dimensions of 1, and puts dimensions before (NumPy's rule).
  public func broadcast(to shape: Shape) -> Tensor { shape == self.shape ? self : apply(.broadcast(shape)) }
  /// (N, C, H, W) → (N, C, kH, kW), every pixel repeated.
  public func upsampledNearest(_ factor: Int) -> Tensor { apply(.upsampleNearest(factor: factor)) }
  /// (N, C, H, W) → (N, C, H/k, W/k), the mean of k × k pixels. H and W are multiples of k.
  public func averagePooled(_ factor: Int) -> Tensor { apply(.averagePool(factor: factor)) }

  /// Equal parts along `axis`.
  public func split(axis: Int, parts: Int) -> [Tensor] {
    guard shape.dimensions.indices.contains(axis), parts >= 1, shape[axis] % parts == 0 else {
      // Let the shape rule say what is wrong.
      return Array(repeating: sliced(axis: axis, 0..<Int.max), count: max(1, parts))
    }
    let size = shape[axis] / parts
    return (0..<parts).map { sliced(axis: axis, $0 * size..<($0 + 1) * size) }
  }
}

/// The tensors one after the other along `axis`.
public func concat(_ tensors: [Tensor], axis: Int) -> Tensor {
  precondition(!tensors.isEmpty, "concat of no tensors")
  return tensors.count == 1 ? tensors[0] : tensors[0].builder.apply(.concat(axis: axis), tensors)
}

// MARK: - Reductions

extension Tensor {
  /// The sum over `axes` (all of them by default).
  public func sum(_ axes: [Int]? = nil, keepDimensions: Bool = false) -> Tensor {
    apply(.sum(axes: axes ?? Array(0..<shape.rank), keepDimensions: keepDimensions))
  }

  /// The mean over `axes` (all of them by default).
  public func mean(_ axes: [Int]? = nil, keepDimensions: Bool = false) -> Tensor {
    let axes = axes ?? Array(0..<shape.rank)
    let count = axes.reduce(1) { $0 * (shape.dimensions.indices.contains($1) ? shape[$1] : 1) }
    return sum(axes, keepDimensions: keepDimensions) * (1 / Double(count))
  }

  /// The mean of all elements: a scalar.
  public func meanSquaredError(_ target: Tensor) -> Tensor { (self - target).squared().mean() }
}

/// The scalar sum of every squared element of all the tensors: the square of their global norm.
public func sumOfSquares(_ tensors: [Tensor]) -> Tensor {
  precondition(!tensors.isEmpty, "sumOfSquares of no tensors")
  return tensors[0].builder.apply(.sumOfSquares, tensors)
}

// MARK: - Lookup and randomness

extension Tensor {
  /// Row `indices[n]` of this table (V, …) for every n: (N, …).
  public func gatherRows(_ indices: Tensor) -> Tensor { apply(.gatherRows, indices) }

  /// Timesteps (N) → (N, dimension).
  public func sinusoidalEmbedding(_ embedding: SinusoidalEmbedding) -> Tensor { apply(.sinusoidalEmbedding(embedding)) }

  /// Standard normal numbers (N, sample…) that depend only on `key` and each sample's `counters` (N, 2) = (sample, step).
  ///
  /// `stream` separates independent uses of the same counters.
  public static func gaussianNoise(sample: Shape, counters: Tensor, key: Tensor, stream: UInt32) -> Tensor {
    counters.builder.apply(.gaussianNoise(sample: sample, stream: stream), [counters, key])
  }

  /// This tensor (N, …) with elements zeroed at `rate` and the others scaled by 1 / (1 − rate).
  public func dropout(rate: Double, counters: Tensor, key: Tensor, stream: UInt32) -> Tensor {
    guard rate != 0 else { return self }
    let sample = Shape(Array(shape.dimensions.dropFirst()))
    return self * builder.apply(.dropoutMask(sample: sample, rate: rate, stream: stream), [counters, key])
  }
}
