/// An operator was given tensors that it cannot take.
public struct ShapeError: Error, Equatable, CustomStringConvertible {
  /// The operator's name.
  public var op: String
  /// What it was given.
  public var operands: [TensorType]
  /// What is wrong with that, to go after the operands.
  public var reason: String

  public var description: String {
    "\(op)(\(operands.map(\.description).joined(separator: ", "))): \(reason)"
  }
}

extension Op {
  /// The types of the operator's results; the one place where shapes are checked.
  ///
  /// - Throws: `ShapeError`, naming the operator and the shapes.
  public func resultTypes(_ operands: [TensorType]) throws(ShapeError) -> [TensorType] {
    let check = OperandCheck(op: self, operands: operands)
    let results = try resultTypes(check)
    for result in results where !result.shape.isReasonable {
      throw check.error(
        "the result would have shape \(result.shape): every dimension must be at least 1, and the elements at most \(Shape.maximumCount)"
      )
    }
    return results
  }

  private func resultTypes(_ given: OperandCheck) throws(ShapeError) -> [TensorType] {
    switch self {
    case .input, .state: throw given.error("declared through the graph builder, not computed")
    case .constant: throw given.error("declared through the graph builder, not computed")
    case .unary:
      try given.count(1)
      return [TensorType(try given.float(0))]
    case .toFloat:
      try given.count(1)
      return [TensorType(try given.int32(0))]
    case .detach:
      try given.count(1)
      return given.operands
    case .binary:
      try given.count(2)
      guard let shape = try given.float(0).broadcast(with: try given.float(1)) else {
        throw given.error("the shapes do not broadcast: aligned at the last axis, dimensions must be equal or 1")
      }
      return [TensorType(shape)]
    case .matmul(let transposeA, let transposeB): return [try given.matmul(transposeA, transposeB)]
    case .convolution(let convolution): return [try given.convolution(convolution)]
    case .convolutionInputGradient(let convolution, let input):
      try given.count(2)
      try given.equal(
        try given.float(0), try convolution.outputShape(input: input, kernel: try given.float(1), given),
        "the output's gradient")
      return [TensorType(input)]
    case .convolutionWeightGradient(let convolution, let kernel, let bias):
      try given.count(2)
      try given.equal(
        try given.float(1), try convolution.outputShape(input: try given.float(0), kernel: kernel, given),
        "the output's gradient")
      return [TensorType(kernel)] + (bias ? [TensorType([kernel[0]])] : [])
    case .groupNorm(let norm):
      try given.count(3...4)
      let x = try given.float(0)
      try given.groupNormParameters(norm, x, gamma: 1, beta: 2, shift: given.operands.count == 4 ? 3 : nil)
      let statistics = TensorType([x[0], norm.groups])
      return [TensorType(x), statistics, statistics]
    case .groupNormGradient(let norm):
      try given.count(6...7)
      let x = try given.float(1)
      let hasShift = given.operands.count == 7
      try given.equal(try given.float(0), x, "the output's gradient")
      try given.groupNormParameters(norm, x, gamma: 2, beta: 3, shift: hasShift ? 6 : nil)
      for statistic in 4...5 { try given.equal(try given.float(statistic), [x[0], norm.groups], "the statistics") }
      return [TensorType(x), TensorType([x[1]]), TensorType([x[1]])] + (hasShift ? [TensorType([x[0], x[1]])] : [])
    case .softmax:
      try given.count(1)
      let shape = try given.float(0)
      guard shape.rank >= 1 else { throw given.error("a scalar has no axis to normalise") }
      return [TensorType(shape)]
    case .attention(let attention):
      try given.count(3)
      return try given.attention(attention, q: 0)
    case .attentionGradient(let attention):
      try given.count(6)
      let forward = try given.attention(attention, q: 1)
      try given.equal(try given.float(0), forward[0].shape, "the output's gradient")
      try given.equal(try given.float(4), forward[0].shape, "the output")
      try given.equal(try given.float(5), forward[1].shape, "the log-sum-exp")
      return (1...3).map { TensorType(given.operands[$0].shape) }
    case .reshape(let shape):
      try given.count(1)
      guard shape.isReasonable, shape.count == given.operands[0].shape.count else {
        throw given.error("cannot become \(shape): the element counts differ")
      }
      return [TensorType(shape, given.operands[0].dtype)]
    case .transpose(let permutation):
      try given.count(1)
      let shape = try given.float(0)
      guard permutation.sorted() == Array(0..<shape.rank) else {
        throw given.error("\(permutation) is no permutation of its axes")
      }
      return [TensorType(Shape(permutation.map { shape[$0] }))]
    case .concat(let axis): return [try given.concat(axis)]
    case .slice(let axis, let from, let to):
      try given.count(1)
      var shape = try given.float(0)
      try given.axis(axis, shape)
      guard 0 <= from, from < to, to <= shape[axis] else {
        throw given.error("\(from)..<\(to) is no range within axis \(axis)")
      }
      shape[axis] = to - from
      return [TensorType(shape)]
    case .pad(let axis, let before, let after):
      try given.count(1)
      var shape = try given.float(0)
      try given.axis(axis, shape)
      guard (0...Shape.maximumCount).contains(before), (0...Shape.maximumCount).contains(after) else {
        throw given.error("cannot pad by \(before) and \(after)")
      }
      shape[axis] += before + after
      return [TensorType(shape)]
    case .broadcast(let target):
      try given.count(1)
      guard try given.float(0).broadcast(with: target) == target else {
        throw given.error("does not broadcast to \(target)")
      }
      return [TensorType(target)]
    case .upsampleNearest(let factor):
      try given.count(1)
      let x = try given.image(0)
      guard factor >= 1, factor < 1 << 16 else { throw given.error("cannot upsample by \(factor)") }
      return [TensorType([x[0], x[1], x[2] * factor, x[3] * factor])]
    case .averagePool(let factor):
      try given.count(1)
      let x = try given.image(0)
      guard factor >= 1, x[2] % factor == 0, x[3] % factor == 0 else {
        throw given.error("height and width must be multiples of \(factor)")
      }
      return [TensorType([x[0], x[1], x[2] / factor, x[3] / factor])]
    case .sum(let axes, let keepDimensions):
      try given.count(1)
      let shape = try given.float(0)
      for axis in axes { try given.axis(axis, shape) }
      guard Set(axes).count == axes.count else { throw given.error("axes \(axes) repeat") }
      return [
        TensorType(
          Shape(
            shape.dimensions.enumerated().compactMap {
              axes.contains($0.offset) ? (keepDimensions ? 1 : nil) : $0.element
            }))
      ]
    case .sumOfSquares:
      try given.count(1...Int.max)
      for index in given.operands.indices { _ = try given.float(index) }
      return [TensorType(.scalar)]
    case .gatherRows:
      try given.count(2)
      let table = try given.float(0)
      let indices = try given.int32(1)
      guard table.rank >= 1, indices.rank == 1 else { throw given.error("wants a table (V, …) and indices (N)") }
      return [TensorType(Shape([indices[0]] + table.dimensions.dropFirst()))]
    case .scatterAddRows(let count):
      try given.count(2)
      let rows = try given.float(0)
      guard rows.rank >= 1, try given.int32(1) == [rows[0]] else {
        throw given.error("wants rows (N, …) and indices (N)")
      }
      return [TensorType(Shape([count] + rows.dimensions.dropFirst()))]
    case .sinusoidalEmbedding(let embedding):
      try given.count(1)
      let t = try given.float(0)
      guard t.rank == 1 else { throw given.error("wants timesteps (N)") }
      guard embedding.dimension >= 2, Double(embedding.dimension / 2) > embedding.frequencyShift else {
        throw given.error(
          "dimension \(embedding.dimension) is too small for frequency shift \(embedding.frequencyShift)")
      }
      return [TensorType([t[0], embedding.dimension])]
    case .gaussianNoise(let sample, _), .dropoutMask(let sample, _, _):
      if case .dropoutMask(_, let rate, _) = self, !(0..<1).contains(rate) {
        throw given.error("the rate \(rate) is not in 0..<1")
      }
      try given.count(2)
      let counters = try given.int32(0)
      guard counters.rank == 2, counters[1] == 2, try given.int32(1) == [2] else {
        throw given.error("wants counters (N, 2) and a key (2)")
      }
      return [TensorType(Shape([counters[0]] + sample.dimensions))]
    case .allReduceMean:
      try given.count(1)
      return [TensorType(try given.float(0))]
    case .adam:
      try given.count(6)
      let p = try given.float(0)
      for index in 1...4 { try given.equal(try given.float(index), p, "gradient, moments and average") }
      try given.equal(try given.float(5), [Adam.Schedule.allCases.count], "the schedule")
      return Array(repeating: TensorType(p), count: 4)
    }
  }
}

/// The checks that shape rules share; each throws an error that names the operator and all its operands.
private struct OperandCheck {
  var op: Op
  var operands: [TensorType]

  func error(_ reason: String) -> ShapeError { ShapeError(op: op.name, operands: operands, reason: reason) }

  func count(_ expected: Int) throws(ShapeError) { try count(expected...expected) }

  func count(_ expected: ClosedRange<Int>) throws(ShapeError) {
    guard expected.contains(operands.count) else { throw error("takes \(expected) operands") }
  }

  func float(_ index: Int) throws(ShapeError) -> Shape {
    guard operands[index].dtype == .float else { throw error("operand \(index) must be floating point") }
    return operands[index].shape
  }

  func int32(_ index: Int) throws(ShapeError) -> Shape {
    guard operands[index].dtype == .int32 else { throw error("operand \(index) must be int32") }
    return operands[index].shape
  }

  func image(_ index: Int) throws(ShapeError) -> Shape {
    let shape = try float(index)
    guard shape.rank == 4 else { throw error("operand \(index) must be an image (N, C, H, W)") }
    return shape
  }

  func equal(_ found: Shape, _ expected: Shape, _ what: String) throws(ShapeError) {
    guard found == expected else { throw error("\(what) has shape \(found), not \(expected)") }
  }

  func axis(_ axis: Int, _ shape: Shape) throws(ShapeError) {
    guard (0..<shape.rank).contains(axis) else { throw error("has no axis \(axis)") }
  }

  func matmul(_ transposeA: Bool, _ transposeB: Bool) throws(ShapeError) -> TensorType {
    try count(2)
    let a = try float(0)
    let b = try float(1)
    guard a.rank >= 2, b.rank >= 2 else { throw error("both operands need at least two dimensions") }
    let (m, k) = transposeA ? (a[a.rank - 1], a[a.rank - 2]) : (a[a.rank - 2], a[a.rank - 1])
    let (k2, n) = transposeB ? (b[b.rank - 1], b[b.rank - 2]) : (b[b.rank - 2], b[b.rank - 1])
    guard k == k2 else { throw error("the inner dimensions \(k) and \(k2) differ") }
    let batchA = Array(a.dimensions.dropLast(2))
    let batchB = Array(b.dimensions.dropLast(2))
    guard batchA == batchB || batchA.isEmpty || batchB.isEmpty else {
      throw error("the leading dimensions must be equal, or absent in one operand")
    }
    return TensorType(Shape((batchA.isEmpty ? batchB : batchA) + [m, n]))
  }

  func convolution(_ convolution: Convolution) throws(ShapeError) -> TensorType {
    try count(2...3)
    let output = try convolution.outputShape(input: try image(0), kernel: try image(1), self)
    if operands.count == 3 { try equal(try float(2), [output[1]], "the bias") }
    return TensorType(output)
  }

  func groupNormParameters(_ norm: GroupNorm, _ x: Shape, gamma: Int, beta: Int, shift: Int?) throws(ShapeError) {
    guard x.rank >= 2 else { throw error("wants (N, C, …)") }
    guard norm.groups >= 1, x[1] % norm.groups == 0 else {
      throw error(
        "\(x[1]) channels cannot be split into \(norm.groups) groups; norm_num_groups must divide every level's channels"
      )
    }
    try equal(try float(gamma), [x[1]], "γ")
    try equal(try float(beta), [x[1]], "β")
    if let shift { try equal(try float(shift), [x[0], x[1]], "the shift") }
  }

  func attention(_ attention: Attention, q index: Int) throws(ShapeError) -> [TensorType] {
    let q = try float(index)
    let k = try float(index + 1)
    guard q.rank == 3, k.rank == 3, q[0] == k[0], q[1] == k[1] else {
      throw error("q, k and v must be (N, heads·d, L) with the same N and channels")
    }
    try equal(try float(index + 2), k, "v")
    guard attention.heads >= 1, q[1] % attention.heads == 0 else {
      throw error("\(q[1]) channels cannot be split into \(attention.heads) heads")
    }
    return [TensorType(q), TensorType([q[0], attention.heads, q[2]])]
  }

  func concat(_ axis: Int) throws(ShapeError) -> TensorType {
    try count(1...Int.max)
    var result = try float(0)
    try self.axis(axis, result)
    for index in operands.indices.dropFirst() {
      var other = try float(index)
      try self.axis(axis, other)
      let size = other[axis]
      other[axis] = result[axis]
      guard other == result else { throw error("the shapes may differ along axis \(axis) only") }
      result[axis] += size
    }
    return TensorType(result)
  }
}

extension Convolution {
  fileprivate func outputShape(input x: Shape, kernel w: Shape, _ given: OperandCheck) throws(ShapeError) -> Shape {
    guard x.rank == 4, w.rank == 4 else {
      throw given.error("wants an image (N, Ci, H, W) and a kernel (Co, Ci, Kh, Kw)")
    }
    guard x[1] == w[1] else { throw given.error("the image has \(x[1]) channels and the kernel takes \(w[1])") }
    let sides = [padding.top, padding.left, padding.bottom, padding.right]
    guard stride >= 1, sides.allSatisfy((0...Shape.maximumCount).contains) else {
      throw given.error("stride \(stride) must be positive, and the padding \(sides) within 0...\(Shape.maximumCount)")
    }
    let height = x[2] + padding.top + padding.bottom
    let width = x[3] + padding.left + padding.right
    guard height >= w[2], width >= w[3] else {
      throw given.error("the padded image \(height) × \(width) is smaller than the kernel")
    }
    return [x[0], w[0], (height - w[2]) / stride + 1, (width - w[3]) / stride + 1]
  }
}
