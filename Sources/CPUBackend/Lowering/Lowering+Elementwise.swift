import CKernels
import TensorGraph

extension Lowering {
  func lowerUnary(_ function: UnaryOp, _ node: Program.Node, at index: Int) {
    let layout = nativeLayout(node.operands[0])
    let x = form(node.operands[0], layout)
    let y = stateResult(node.results[0], layout, at: index) ?? result(node.results[0], layout)
    let count = shape(node.results[0]).count
    let kernel = function.kernel
    emit(
      Step(label: function.name, reads: [x], writes: [y], inPlace: (y, x)) { _ in
        if let (op, a, b) = kernel {
          ck_unary_apply(op, x.floats, y.floats, count, a, b)
        } else {
          // Rare in a network: the definition itself, one element after the other.
          let (from, to) = (x.floats, y.floats)
          for index in 0..<count { to[index] = Float(function(Double(from[index]))) }
        }
      })
  }

  func lowerBinary(_ function: BinaryOp, _ node: Program.Node, at index: Int) {
    let (a, b, y) = (node.operands[0], node.operands[1], node.results[0])
    let kernel = function.kernel
    if shape(a) == shape(b) {
      let layout = commonLayout(a, b)
      let (left, right) = (form(a, layout), form(b, layout))
      let target = stateResult(y, layout, at: index) ?? result(y, layout)
      let count = shape(y).count
      emit(
        Step(label: function.rawValue, reads: [left, right], writes: [target], inPlace: (target, left)) { _ in
          ck_binary_apply(kernel, left.floats, right.floats, target.floats, count)
        })
      return
    }
    let target = shape(y)
    let blocked = canBlock(target) && [a, b].contains { shape($0) == target && nativeLayout($0) == .blocked }
    if blocked, let left = blockedOperand(a, in: target), let right = blockedOperand(b, in: target) {
      lowerBroadcast(kernel, function, left, right, y, .blocked)
    } else {
      let strides = { self.shape($0).broadcastStrides(to: target) }
      lowerBroadcast(kernel, function, (plain(a), strides(a)), (plain(b), strides(b)), y, .plain)
    }
  }

  private func lowerBroadcast(
    _ kernel: ck_binary, _ function: BinaryOp, _ left: (buffer: Buffer, strides: [Int]),
    _ right: (buffer: Buffer, strides: [Int]), _ y: Program.ValueID, _ layout: Layout
  ) {
    let dimensions = physicalDimensions(shape(y), layout)
    let target = result(y, layout)
    emit(
      Step(label: function.rawValue, reads: [left.buffer, right.buffer], writes: [target]) { _ in
        ck_binary_broadcast(
          kernel, left.buffer.floats, left.strides, right.buffer.floats, right.strides, target.floats,
          Int32(dimensions.count), dimensions)
      })
  }

  /// The layout in which two tensors of one shape meet: their own if they agree, else that of the one that is blocked.
  func commonLayout(_ a: Program.ValueID, _ b: Program.ValueID) -> Layout {
    let (left, right) = (nativeLayout(a), nativeLayout(b))
    return left == right ? left : [left, right].first { $0 != .plain } ?? .plain
  }

  func lowerToFloat(_ node: Program.Node) {
    let x = plain(node.operands[0])
    let y = result(node.results[0])
    let count = shape(node.results[0]).count
    emit(
      Step(label: "toFloat", reads: [x], writes: [y]) { _ in
        for index in 0..<count { y.floats[index] = Float(x.integers[index]) }
      })
  }

  func lowerBroadcast(_ node: Program.Node) {
    let x = plain(node.operands[0])
    let target = shape(node.results[0])
    let strides = shape(node.operands[0]).broadcastStrides(to: target)
    let y = result(node.results[0])
    emit(
      Step(label: "broadcast", reads: [x], writes: [y]) { _ in
        ck_gather_strided(x.floats, strides, y.floats, Int32(target.rank), target.dimensions)
      })
  }

  // MARK: Reductions

  func lowerSum(_ node: Program.Node, _ axes: [Int]) {
    let x = node.operands[0]
    let shape = shape(x)
    // Blocked channels can be read as they lie unless they stay apart from positions that stay too.
    let keepsPositions = (2..<max(2, shape.rank)).contains { !axes.contains($0) && shape[$0] > 1 }
    let layout: Layout = nativeLayout(x) == .blocked && (axes.contains(1) || !keepsPositions) ? .blocked : .plain
    let source = form(x, layout)
    let dimensions = physicalDimensions(shape, layout)
    let strides = Shape(dimensions).strides
    var reduced = (0..<shape.rank).map { axes.contains($0) ? Int32(1) : 0 }
    if layout == .blocked { reduced.append(reduced[1]) }
    let target = result(node.results[0])
    emit(
      Step(label: "sum", reads: [source], writes: [target]) { _ in
        ck_sum_axes(
          source.floats, strides, Int32(dimensions.count), dimensions, reduced, target.floats)
      })
  }

  func lowerSumOfSquares(_ node: Program.Node) {
    let sources = node.operands.map { (form($0, nativeLayout($0)), shape($0).count) }
    let target = result(node.results[0])
    emit(
      Step(label: "sumOfSquares", reads: sources.map(\.0), writes: [target]) { _ in
        var sum = 0.0
        for (buffer, count) in sources { sum += ck_sum_of_squares(buffer.floats, count) }
        target.floats[0] = Float(sum)
      })
  }
}

extension BinaryOp {
  var kernel: ck_binary {
    switch self {
    case .add: CK_ADD
    case .subtract: CK_SUB
    case .multiply: CK_MUL
    case .divide: CK_DIV
    case .maximum: CK_MAX
    case .minimum: CK_MIN
    }
  }
}

extension UnaryOp {
  /// The C kernel with its two parameters; nil for functions that have none.
  var kernel: (ck_unary, Float, Float)? {
    switch self {
    case .negate: (CK_NEG, 0, 0)
    case .reciprocal: (CK_RECIPROCAL, 0, 0)
    case .square: (CK_SQUARE, 0, 0)
    case .squareRoot: (CK_SQRT, 0, 0)
    case .reciprocalSquareRoot: (CK_RSQRT, 0, 0)
    case .absolute: (CK_ABS, 0, 0)
    case .exp: (CK_EXP, 0, 0)
    case .log: (CK_LOG, 0, 0)
    case .log1p: (CK_LOG1P, 0, 0)
    case .expm1: (CK_EXPM1, 0, 0)
    case .sin: (CK_SIN, 0, 0)
    case .cos: (CK_COS, 0, 0)
    case .tanh: (CK_TANH, 0, 0)
    case .sigmoid: (CK_SIGMOID, 0, 0)
    case .softplus: (CK_SOFTPLUS, 0, 0)
    case .erf: (CK_ERF, 0, 0)
    case .erfc: (CK_ERFC, 0, 0)
    case .logNormalCDF: nil
    case .relu: (CK_RELU, 0, 0)
    case .silu: (CK_SILU, 0, 0)
    case .mish: (CK_MISH, 0, 0)
    case .gelu: (CK_GELU, 0, 0)
    case .step: (CK_STEP, 0, 0)
    case .scale(let factor): (CK_SCALE, Float(factor), 0)
    case .offset(let offset): (CK_ADD_SCALAR, Float(offset), 0)
    case .clamp(let low, let high): (CK_CLAMP, Float(low), Float(high))
    }
  }
}
