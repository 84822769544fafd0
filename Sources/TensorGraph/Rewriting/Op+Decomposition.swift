extension Op {
  /// How the operator's results follow from its operands by simpler operators; nil where it is itself as simple as they get.
  ///
  /// For backends that lack it (`Program.decomposed`). No decomposition uses an operator whose own leads back to it.
  public var decomposition: (([Tensor]) -> [Tensor])? {
    switch self {
    // A backend without it is one device.
    case .detach, .allReduceMean: { $0 }
    case .unary(let function): function.decomposition.map { apply in { x in [apply(x[0])] } }
    case .groupNorm(let norm): norm.forward
    case .groupNormGradient(let norm): norm.gradient
    // eˣ / Σ eˣ, the maximum taken off first
    case .softmax: { x in [Exponentials(of: x[0]).shares] }
    case .attention(let attention): attention.forward
    case .attentionGradient(let attention): attention.gradient
    case .upsampleNearest(let k):
      { x in
        let s = x[0].shape
        return [
          x[0].reshaped([s[0], s[1], s[2], 1, s[3], 1]).broadcast(to: [s[0], s[1], s[2], k, s[3], k])
            .reshaped([s[0], s[1], s[2] * k, s[3] * k])
        ]
      }
    case .averagePool(let k):
      { x in
        let s = x[0].shape
        return [x[0].reshaped([s[0], s[1], s[2] / k, k, s[3] / k, k]).mean([3, 5])]
      }
    case .sumOfSquares:
      { x in
        let squares = x.map { $0.squared().sum() }
        return [squares.dropFirst().reduce(squares[0], +)]
      }
    case .adam(let adam): adam.update
    case .input, .state, .constant, .binary, .toFloat, .matmul, .convolution, .convolutionInputGradient,
      .convolutionWeightGradient, .reshape, .transpose, .concat, .slice, .pad, .broadcast, .sum, .gatherRows,
      .scatterAddRows, .sinusoidalEmbedding, .gaussianNoise, .dropoutMask:
      nil
    }
  }
}

extension UnaryOp {
  fileprivate var decomposition: ((Tensor) -> Tensor)? {
    switch self {
    case .square: { $0 * $0 }
    case .reciprocalSquareRoot: { $0.squareRoot().unary(.reciprocal) }
    case .sigmoid: { ((-$0).exp() + 1).unary(.reciprocal) }
    case .relu: { $0.maximum($0.builder.constant(0)) }
    // log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|)
    case .softplus: { $0.unary(.relu) + (-$0.unary(.absolute)).exp().unary(.log1p) }
    case .silu: { $0 * $0.sigmoid() }
    case .mish: { $0 * $0.unary(.softplus).tanh() }
    // x Φ(x) = x ½ erfc(−x/√2)
    case .gelu: { $0 * (0.5 * ($0 * -0.5.squareRoot()).unary(.erfc)) }
    case .negate, .reciprocal, .squareRoot, .absolute, .exp, .log, .log1p, .expm1, .sin, .cos, .tanh, .erf, .erfc,
      .logNormalCDF, .step, .scale, .offset, .clamp:
      nil
    }
  }
}

extension Adam {
  /// p, g, m, v, ema, schedule → p′, m′, v′, ema′.
  fileprivate func update(_ x: [Tensor]) -> [Tensor] {
    let (p, schedule) = (x[0], x[5])
    func scheduled(_ item: Schedule) -> Tensor {
      schedule.sliced(axis: 0, item.rawValue..<item.rawValue + 1).reshaped(.scalar)
    }
    let g = scheduled(.gradientScale) * x[1]
    // m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²
    let m = beta1 * x[2] + (1 - beta1) * g
    let v = beta2 * x[3] + (1 - beta2) * g.squared()
    // p ← p − η (λ p + m̂ / (√v̂ + ε))
    let mHat = m / scheduled(.biasCorrection1)
    let vHat = v / scheduled(.biasCorrection2)
    let next = p - scheduled(.learningRate) * (weightDecay * p + mHat / (vHat.squareRoot() + epsilon))
    // ema ← d ema + (1 − d) p
    let d = scheduled(.emaDecay)
    return [next, m, v, d * x[4] + (1 - d) * next]
  }
}
