import Platform

extension UnaryOp {
  /// The function's value at `x`, to within a few units in the last place over the whole range.
  ///
  /// NaN gives NaN, and infinities give what PyTorch gives.
  public func callAsFunction(_ x: Double) -> Double { value(of: self, at: x) }
}

extension BinaryOp {
  /// The function's value at `a` and `b`. Of NaN and a number, the maximum and the minimum are NaN, as in PyTorch.
  public func callAsFunction(_ a: Double, _ b: Double) -> Double {
    switch self {
    case .add: a + b
    case .subtract: a - b
    case .multiply: a * b
    case .divide: a / b
    case .maximum: a.isNaN || a > b ? a : b
    case .minimum: a.isNaN || a < b ? a : b
    }
  }
}

// Outside of the enum, whose cases would hide the C library's functions of the same names.
private func value(of function: UnaryOp, at x: Double) -> Double {
  switch function {
  case .negate: -x
  case .reciprocal: 1 / x
  case .square: x * x
  case .squareRoot: x.squareRoot()
  case .reciprocalSquareRoot: 1 / x.squareRoot()
  case .absolute: abs(x)
  case .exp: exp(x)
  case .log: log(x)
  case .log1p: log1p(x)
  case .expm1: expm1(x)
  case .sin: sin(x)
  case .cos: cos(x)
  case .tanh: tanh(x)
  case .sigmoid: 1 / (1 + exp(-x))
  // log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|)
  case .softplus: (x > 0 ? x : 0) + log1p(exp(-abs(x)))
  case .erf: erf(x)
  case .erfc: erfc(x)
  case .logNormalCDF: logNormalCDF(x)
  case .relu: x < 0 ? 0 : x
  case .silu: x / (1 + exp(-x))
  case .mish: mish(x)
  // Φ(x) = ½ erfc(−x/√2) keeps its digits in the left tail, where ½ (1 + erf) loses them.
  case .gelu: x * (0.5 * erfc(-x * 0.5.squareRoot()))
  case .step: x > 0 ? 1 : 0
  case .scale(let factor): x * factor
  case .offset(let amount): x + amount
  case .clamp(let low, let high): x < low ? low : x > high ? high : x
  }
}

/// x tanh(log(1 + eˣ)), with u = e^−|x| so that nothing overflows:
/// tanh(log(1 + eˣ)) = (e²ˣ + 2eˣ) / (e²ˣ + 2eˣ + 2), numerator and denominator divided by e²ˣ where x is positive.
private func mish(_ x: Double) -> Double {
  let u = exp(-abs(x))
  return x > 0 ? x * ((1 + 2 * u) / (1 + 2 * u + 2 * u * u)) : x * ((u * u + 2 * u) / (u * u + 2 * u + 2))
}

/// log Φ(x), to a relative error of 1e-13 in both tails.
///
/// Between −10 and 10 the C library's erfc is enough. Beyond, it underflows (left) or amplifies the rounding of x/√2 by x²
/// (right), and Φ(−|x|) = φ(x) / K(|x|) takes over, with Laplace's continued fraction K(x) = x + 1/(x + 2/(x + 3/(x + …))).
private func logNormalCDF(_ x: Double) -> Double {
  if x < -10 {
    // log φ(x) − log K(|x|)
    return -0.5 * x * x - 0.5 * log(2 * Double.pi) - log(laplaceFraction(-x))
  } else if x <= 0 {
    return log(0.5 * erfc(-x * 0.5.squareRoot()))
  } else if x <= 10 {
    return log1p(-0.5 * erfc(x * 0.5.squareRoot()))
  } else if x < 40 {
    // log(1 − Φ(−x)) = −Φ(−x) to the last digit; x² in two parts, since exp amplifies its rounding.
    let square = x * x
    let rest = (-square).addingProduct(x, x)
    return -exp(-0.5 * square) * exp(-0.5 * rest) / ((2 * Double.pi).squareRoot() * laplaceFraction(x))
  }
  return x.isNaN ? x : 0
}

/// x + 1/(x + 2/(x + 3/(x + …))): 30 terms leave less than 1e-16 for x ≥ 10.
private func laplaceFraction(_ x: Double) -> Double {
  var tail = x
  for k in stride(from: 30.0, through: 1, by: -1) { tail = x + k / tail }
  return tail
}
