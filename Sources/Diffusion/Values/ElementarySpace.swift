import TensorGraph

/// A linear space with products and elementary functions, element by element: what the bound needs beyond sums. `Double` and `Tensor` are
/// its conformers, so that the bound has one text for evaluation and for training.
///
/// A coefficient is an element too: one number, or a tensor [N, 1, 1, 1] that stretches over each sample.
package protocol ElementarySpace: LinearSpace where Coefficient == Self {
  static prefix func - (x: Self) -> Self
  static func + (x: Self, c: Double) -> Self
  static func + (c: Double, x: Self) -> Self
  static func - (x: Self, c: Double) -> Self
  static func - (c: Double, x: Self) -> Self
  static func * (c: Double, x: Self) -> Self

  static func squared(_ x: Self) -> Self
  static func exp(_ x: Self) -> Self
  static func expm1(_ x: Self) -> Self
  /// 1 where x > 0, else 0.
  static func step(_ x: Self) -> Self
  /// ln Φ(z).
  static func logNormalCDF(_ z: Self) -> Self
  /// ln(Φ(b) − Φ(a)) for a < b.
  static func logNormalMass(from a: Self, to b: Self) -> Self
  /// `a` where `mask` is 1, `b` where it is 0. A graph computes both.
  static func select(_ mask: Self, _ a: @autoclosure () -> Self, else b: @autoclosure () -> Self) -> Self
}

extension Double: ElementarySpace {
  package static func squared(_ x: Double) -> Double { x * x }
  package static func exp(_ x: Double) -> Double { UnaryOp.exp(x) }
  package static func expm1(_ x: Double) -> Double { UnaryOp.expm1(x) }
  package static func step(_ x: Double) -> Double { x > 0 ? 1 : 0 }
  package static func logNormalCDF(_ z: Double) -> Double { NormalDistribution.logCDF(z) }
  package static func logNormalMass(from a: Double, to b: Double) -> Double {
    NormalDistribution.logMass(from: a, to: b)
  }

  package static func select(
    _ mask: Double, _ a: @autoclosure () -> Double, else b: @autoclosure () -> Double
  ) -> Double {
    mask == 1 ? a() : b()
  }
}

extension Tensor: ElementarySpace {
  package static func squared(_ x: Tensor) -> Tensor { x.squared() }
  package static func exp(_ x: Tensor) -> Tensor { x.exp() }
  package static func expm1(_ x: Tensor) -> Tensor { x.unary(.expm1) }
  package static func step(_ x: Tensor) -> Tensor { x.unary(.step) }
  package static func logNormalCDF(_ z: Tensor) -> Tensor { z.unary(.logNormalCDF) }

  /// A second text of `NormalDistribution.logMass`: a graph cannot branch, and Float rounds a bin far narrower than σ to no mass at all.
  package static func logNormalMass(from a: Tensor, to b: Tensor) -> Tensor {
    // Mirrored to the lower tail: ln(Φ(b) − Φ(a)) with b ← min(b, −a), a ← min(a, −b).
    let upper = logNormalCDF(b.minimum(-a))
    let lower = logNormalCDF(a.minimum(-b))
    return upper + (-expm1(lower - upper)).clamped(to: 1e-12...1).log()
  }

  package static func select(
    _ mask: Tensor, _ a: @autoclosure () -> Tensor, else b: @autoclosure () -> Tensor
  ) -> Tensor {
    mask * a() + (1 - mask) * b()
  }
}
