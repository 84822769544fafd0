/// What the equations of diffusion need of x_0, x_t, ε and v: sums, and products with coefficients of the schedule.
///
/// Each equation is written once against this protocol and serves one `Double`, a batch of `Images` and a differentiable graph tensor.
public protocol LinearSpace {
  /// A value of a schedule's table: a number where all samples share t, a tensor where each has its own.
  associatedtype Coefficient

  /// The sum.
  static func + (a: Self, b: Self) -> Self
  /// The difference.
  static func - (a: Self, b: Self) -> Self
  /// The product with a coefficient.
  static func * (c: Coefficient, x: Self) -> Self
  /// The quotient by a coefficient.
  static func / (x: Self, c: Coefficient) -> Self
}

extension Double: LinearSpace {
  /// A number, as the quantity itself.
  public typealias Coefficient = Double
}
