import TensorGraph

extension Lowering {
  func binary(_ function: BinaryOp, _ a: HLOValue, _ b: HLOValue, to shape: [Int]) -> HLOValue {
    // 16 bits where nothing but scalars is wider.
    let isNarrow =
      [a, b].contains { $0.element == .bf16 } && [a, b].allSatisfy { $0.element == .bf16 || $0.type.count == 1 }
    let element: HLOType.Element = isNarrow ? .bf16 : .f32
    let (a, b) = (a.converted(to: element).broadcast(shape), b.converted(to: element).broadcast(shape))
    switch function {
    case .add: return a + b
    case .subtract: return a - b
    case .multiply: return a * b
    case .divide: return a / b
    // StableHLO's own maximum loses a NaN of its second operand on some processors.
    case .maximum: return (a.is(.notEqual, a) | a.is(.greater, b)).choose(a, b)
    case .minimum: return (a.is(.notEqual, a) | a.is(.less, b)).choose(a, b)
    }
  }

  func unary(_ function: UnaryOp, _ x: HLOValue) -> HLOValue {
    switch function {
    // What rounds once is done in the width that it has.
    case .negate: return -x
    case .scale(let factor): return x * factor
    case .offset(let amount): return x + amount
    case .relu: return x.is(.less, 0).choose(x.filled(0), x)
    default: return wideUnary(function, wide(x)).converted(to: x.element)
    }
  }

  private func wideUnary(_ function: UnaryOp, _ x: HLOValue) -> HLOValue {
    switch function {
    case .negate, .scale, .offset, .relu: preconditionFailure("\(function.name) is done in any width")
    case .reciprocal: return 1 / x
    case .square: return x * x
    case .squareRoot: return x.squareRoot()
    case .reciprocalSquareRoot: return 1 / x.squareRoot()
    case .absolute: return x.absolute()
    case .exp: return x.exp()
    case .log: return x.log()
    case .log1p: return x.log1p()
    case .expm1: return x.apply("exponential_minus_one")
    case .sin: return x.apply("sine")
    case .cos: return x.apply("cosine")
    case .tanh: return x.apply("tanh")
    case .sigmoid: return x.sigmoid()
    // log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|)
    case .softplus: return x.apply("maximum", x.filled(0)) + (-x.absolute()).exp().log1p()
    case .erf: return erf(x)
    case .erfc: return erfc(x)
    case .logNormalCDF: return logNormalCDF(x)
    case .silu: return x * x.sigmoid()
    case .mish: return mish(x)
    // x Φ(x) = x ½ erfc(−x/√2)
    case .gelu: return x * (0.5 * erfc(x * -0.5.squareRoot()))
    case .step: return x.is(.greater, 0).choose(x.filled(1), x.filled(0))
    case .clamp(let low, let high):
      let below = x.is(.greater, high).choose(x.filled(high), x)
      return x.is(.less, low).choose(x.filled(low), below)
    }
  }

  /// x tanh(log(1 + eˣ)) with u = e^−|x|, so that nothing overflows.
  private func mish(_ x: HLOValue) -> HLOValue {
    let u = (-x.absolute()).exp()
    // x > 0: (1 + 2u) / (1 + 2u + 2u²), else (u² + 2u) / (u² + 2u + 2)
    let right = (1 + 2 * u) / (1 + 2 * u + 2 * (u * u))
    let numerator = u * u + 2 * u
    return x * x.is(.greater, 0).choose(right, numerator / (numerator + 2))
  }

  // MARK: Error functions, by the polynomials of Cephes (Moshier, 1992) in single precision

  private func erf(_ x: HLOValue) -> HLOValue {
    x.absolute().is(.less, 1).choose(erfNearZero(x), 1 - erfcFarFromZero(x))
  }

  private func erfc(_ x: HLOValue) -> HLOValue {
    x.absolute().is(.less, 1).choose(1 - erfNearZero(x), erfcFarFromZero(x))
  }

  /// erf x = x T(x²) for |x| < 1.
  private func erfNearZero(_ x: HLOValue) -> HLOValue {
    x
      * (x * x).polynomial([
        7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2,
        1.128358514861418e-1, -3.761262582423300e-1, 1.128379165726710,
      ])
  }

  /// erfc |x| = e^(−x²) / |x| · P(1/x²) for |x| ≥ 1; erfc(−x) = 2 − erfc x.
  private func erfcFarFromZero(_ x: HLOValue) -> HLOValue {
    let magnitude = x.absolute()
    let square = x * x
    let q = 1 / magnitude
    let near = (q * q).polynomial([
      2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1, -5.824733027278666e-1, 6.210004621745983e-1,
      -4.944515323274145e-1, 3.404879937665872e-1, -2.741127028184656e-1, 5.638259427386472e-1,
    ])
    let far = (q * q).polynomial([
      -1.047766399936249e1, 1.297719955372516e1, -7.495518717768503, 2.921019019210786, -1.015265279202700,
      4.218463358204948e-1, -2.820767439740514e-1, 5.641895067754075e-1,
    ])
    let tail = (-square).exp() * q * magnitude.is(.less, 2).choose(near, far)
    // Beyond, e^(−x²) is zero and 1/x² of infinity times it NaN.
    let right = square.is(.greater, 88.722_839_052_068_35).choose(x.filled(0), tail)
    return x.is(.less, 0).choose(2 - right, right)
  }

  /// log Φ(x). Left of −4, Φ(x) = φ(x) / K(|x|) with Laplace's continued fraction K.
  private func logNormalCDF(_ x: HLOValue) -> HLOValue {
    let magnitude = x.absolute()
    // Φ(−|x|) = ½ erfc(|x|/√2)
    let half = 0.5 * erfc(magnitude * 0.5.squareRoot())
    // K(x) = x + 1/(x + 2/(x + 3/(x + …)))
    var fraction = magnitude
    for k in stride(from: 20.0, through: 1, by: -1) { fraction = magnitude + k / fraction }
    // log φ(x) − log K(|x|), where log √2π = 0.9189…
    let tail = -0.5 * (x * x) - 0.918_938_533_204_672_74 - fraction.log()
    let left = x.is(.less, -4).choose(tail, half.log())
    return x.is(.lessOrEqual, 0).choose(left, (-half).log1p())
  }
}
