/// A node on the way back: its operands x, its results y and the gradients ∂L/∂y that have arrived so far.
struct GradientContext {
  let builder: GraphBuilder
  let node: Program.Node
  let operands: [Tensor]
  let results: [Tensor]
  /// ∂L/∂y for each result; nil where the loss does not depend on it.
  let upstream: [Tensor?]
  /// Which operands' gradients anybody needs.
  let wanted: [Bool]
}

extension GradientContext {
  /// ∂L/∂x for each operand: the table of rules. nil where there is none (integers, statistics) or nobody wants it.
  func operandGradients() -> [Tensor?] {
    // Auxiliary results (a norm's statistics, attention's log-sum-exp) are for the backward pass, never for a loss.
    guard let dy = upstream[0], !upstream.dropFirst().contains(where: { $0 != nil }) else {
      builder.fail(.notDifferentiable(op: "a later result of \(node.op.name)"))
      return operands.map { _ in nil }
    }
    let x = operands[0]
    let y = results[0]
    switch node.op {
    case .input, .state, .constant: return []
    case .unary(let function): return [unaryGradient(function, x: x, y: y, dy: dy)]
    case .binary(let function): return binaryGradients(function, x, operands[1], y: y, dy: dy)
    case .toFloat, .detach: return [nil]

    case .matmul(let transposeA, let transposeB): return matmulGradients(transposeA, transposeB, x, operands[1], dy)
    case .convolution(let convolution):
      let w = operands[1]
      let hasBias = operands.count == 3
      let weight =
        wanted[1] || (hasBias && wanted[2])
        ? builder.applyAll(.convolutionWeightGradient(convolution, kernel: w.shape, bias: hasBias), [x, dy]) : []
      return [
        wanted[0] ? builder.apply(.convolutionInputGradient(convolution, input: x.shape), [dy, w]) : nil,
        weight.first,
      ] + (hasBias ? [weight.dropFirst().first] : [])

    case .groupNorm(let norm):
      let shift = operands.dropFirst(3)
      return builder.applyAll(
        .groupNormGradient(norm), [dy, x, operands[1], operands[2], results[1], results[2]] + shift
      ).prefix(operands.count).map { $0 }
    case .softmax:
      // dx = y (dy − Σ dy y)
      return [y * (dy - (dy * y).sum([y.shape.rank - 1], keepDimensions: true))]
    case .attention(let attention):
      return Array(builder.applyAll(.attentionGradient(attention), [dy] + operands + results).prefix(3))

    case .reshape: return [dy.reshaped(x.shape)]
    case .transpose(let permutation):
      var inverse = permutation
      for (to, from) in permutation.enumerated() { inverse[from] = to }
      return [dy.transposed(inverse)]
    case .concat(let axis):
      var start = 0
      return operands.map { operand in
        defer { start += operand.shape[axis] }
        return dy.sliced(axis: axis, start..<start + operand.shape[axis])
      }
    case .slice(let axis, let from, let to): return [dy.padded(axis: axis, before: from, after: x.shape[axis] - to)]
    case .pad(let axis, let before, _): return [dy.sliced(axis: axis, before..<before + x.shape[axis])]
    case .broadcast: return [reduced(dy, to: x.shape)]
    case .upsampleNearest(let factor): return [dy.averagePooled(factor) * Double(factor * factor)]
    case .averagePool(let factor): return [dy.upsampledNearest(factor) * (1 / Double(factor * factor))]

    case .sum(let axes, _):
      var kept = x.shape
      for axis in axes { kept[axis] = 1 }
      return [dy.reshaped(kept).broadcast(to: x.shape)]
    case .sumOfSquares: return operands.map { 2 * $0 * dy }

    case .gatherRows: return [builder.apply(.scatterAddRows(count: x.shape[0]), [dy, operands[1]]), nil]
    case .scatterAddRows: return [dy.gatherRows(operands[1]), nil]
    case .sinusoidalEmbedding: return [nil]
    case .gaussianNoise, .dropoutMask: return [nil, nil]

    // Every device's y holds 1/n of each x.
    case .allReduceMean: return [dy.allReducedMean()]

    case .convolutionInputGradient, .convolutionWeightGradient, .groupNormGradient, .attentionGradient, .adam:
      // Nobody differentiates a training step twice.
      builder.fail(.notDifferentiable(op: node.op.name))
      return operands.map { _ in nil }
    }
  }

  private func unaryGradient(_ function: UnaryOp, x: Tensor, y: Tensor, dy: Tensor) -> Tensor? {
    switch function {
    case .negate: return -dy
    case .reciprocal: return -(dy * y.squared())
    case .square: return 2 * dy * x
    case .squareRoot: return 0.5 * dy / y
    case .reciprocalSquareRoot: return -0.5 * dy * (y * y * y)
    case .absolute: return dy * (x.unary(.step) - (-x).unary(.step))
    case .exp: return dy * y
    case .log: return dy / x
    case .log1p: return dy / (1 + x)
    case .expm1: return dy * (1 + y)
    case .sin: return dy * x.cos()
    case .cos: return -(dy * x.sin())
    case .tanh: return dy * (1 - y.squared())
    case .sigmoid: return dy * (y * (1 - y))
    case .softplus: return dy * x.sigmoid()
    // erf′(x) = 2/√π exp(−x²)
    case .erf: return dy * (2 / Double.pi.squareRoot()) * (-x.squared()).exp()
    case .erfc: return dy * (-2 / Double.pi.squareRoot()) * (-x.squared()).exp()
    // (log Φ)′(x) = φ(x) / Φ(x) = exp(−x²/2 − log Φ(x)) / √(2π)
    case .logNormalCDF: return dy * (1 / (2 * Double.pi).squareRoot()) * (-0.5 * x.squared() - y).exp()
    case .relu: return dy * x.unary(.step)
    case .silu: return dy * x.siluDerivative()
    case .mish:
      // (x tanh s)′ = tanh s + x σ (1 − tanh² s), s = softplus x
      let t = x.unary(.softplus).tanh()
      return dy * (t + x * x.sigmoid() * (1 - t.squared()))
    case .gelu:
      // (x Φ)′ = Φ + x φ
      let Φ = 0.5 * (x * 0.5.squareRoot()).unary(.erf) + 0.5
      let φ = (1 / (2 * Double.pi).squareRoot()) * (-0.5 * x.squared()).exp()
      return dy * (Φ + x * φ)
    case .step: return nil
    case .scale(let factor): return dy * factor
    case .offset: return dy
    case .clamp(let low, let high):
      // Inside where neither bound is strictly passed.
      return dy * (1 - (low - x).unary(.step)) * (1 - (x - high).unary(.step))
    }
  }

  private func binaryGradients(_ function: BinaryOp, _ a: Tensor, _ b: Tensor, y: Tensor, dy: Tensor) -> [Tensor?] {
    let da: () -> Tensor
    let db: () -> Tensor
    switch function {
    case .add: (da, db) = ({ dy }, { dy })
    case .subtract: (da, db) = ({ dy }, { -dy })
    case .multiply: (da, db) = ({ dy * b }, { dy * a })
    case .divide: (da, db) = ({ dy / b }, { -(dy * y / b) })
    // Where both are equal each takes half, as in PyTorch.
    case .maximum: (da, db) = ({ dy * share(a - b) }, { dy * share(b - a) })
    case .minimum: (da, db) = ({ dy * share(b - a) }, { dy * share(a - b) })
    }
    return [wanted[0] ? reduced(da(), to: a.shape) : nil, wanted[1] ? reduced(db(), to: b.shape) : nil]
  }

  /// 1 where positive, ½ where zero, 0 where negative.
  private func share(_ difference: Tensor) -> Tensor {
    0.5 * (1 + difference.unary(.step) - (-difference).unary(.step))
  }

  private func matmulGradients(
    _ transposeA: Bool, _ transposeB: Bool, _ a: Tensor, _ b: Tensor, _ dy: Tensor
  ) -> [Tensor?] {
    // With A′ = op(A) and B′ = op(B): dA′ = dY B′ᵀ, dB′ = A′ᵀ dY; transpose back where the operand was transposed.
    func da() -> Tensor {
      transposeA
        ? b.matmul(dy, transposeA: transposeB, transposeB: true) : dy.matmul(b, transposeB: !transposeB)
    }
    func db() -> Tensor {
      // An unbatched second operand sees all leading dimensions as rows.
      if b.shape.rank == 2, a.shape.rank > 2, !transposeA {
        let rows = { (t: Tensor) in t.reshaped([t.shape.count / t.shape[t.shape.rank - 1], t.shape[t.shape.rank - 1]]) }
        return transposeB ? rows(dy).matmul(rows(a), transposeA: true) : rows(a).matmul(rows(dy), transposeA: true)
      }
      return transposeB ? dy.matmul(a, transposeA: true, transposeB: transposeA) : a.matmul(dy, transposeA: !transposeA)
    }
    return [wanted[0] ? reduced(da(), to: a.shape) : nil, wanted[1] ? reduced(db(), to: b.shape) : nil]
  }

  /// The sum of `gradient` over the axes along which a tensor of `shape` was stretched.
  private func reduced(_ gradient: Tensor, to shape: Shape) -> Tensor {
    guard gradient.shape != shape else { return gradient }
    let lead = gradient.shape.rank - shape.rank
    guard lead >= 0 else { return gradient.reshaped(shape) }
    let stretched = (0..<gradient.shape.rank).filter { axis in
      axis < lead || (shape[axis - lead] == 1 && gradient.shape[axis] != 1)
    }
    return gradient.sum(stretched).reshaped(shape)
  }
}

extension Tensor {
  /// (x σ)′ = σ (1 + x (1 − σ))
  func siluDerivative() -> Tensor {
    let σ = sigmoid()
    return σ * (1 + self * (1 - σ))
  }
}
