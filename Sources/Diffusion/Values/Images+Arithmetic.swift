/// Elementwise arithmetic in Float, where the images are. Coefficients arrive in Double and are rounded once.
extension Images: LinearSpace {
  /// One number for all samples.
  public typealias Coefficient = Double

  /// Of images of one shape.
  public static func + (a: Images, b: Images) -> Images { deferred(a, b) { .sum($0, $1) } ?? zip(a, b) { $0 + $1 } }
  /// Of images of one shape.
  public static func - (a: Images, b: Images) -> Images {
    deferred(a, b) { .difference($0, $1) } ?? zip(a, b) { $0 - $1 }
  }
  /// Scalar by scalar, of images of one shape.
  public static func * (a: Images, b: Images) -> Images { deferred(a, b) { .product($0, $1) } ?? zip(a, b) { $0 * $1 } }

  /// Every scalar times c, rounded to Float.
  public static func * (c: Double, x: Images) -> Images {
    let c = Float(c)
    return x.deferred { .scaled(c, $0) } ?? x.map { c * $0 }
  }

  /// Every scalar over c, rounded to Float.
  public static func / (x: Images, c: Double) -> Images {
    let c = Float(c)
    return x.deferred { .quotient($0, c) } ?? x.map { $0 / c }
  }

  /// Each scalar clamped to [−bound, bound].
  func clamped(to bound: Double) -> Images {
    let b = Float(bound)
    return deferred { .clamped($0, to: bound) } ?? map { min(max($0, -b), b) }
  }

  /// The images with `transform` applied to every scalar.
  public func map(_ transform: (Float) -> Float) -> Images {
    let result = scalars.withUnsafeBufferPointer { x in
      [Float](unsafeUninitializedCapacity: x.count) { y, count in
        for i in x.indices { y.initializeElement(at: i, to: transform(x[i])) }
        count = x.count
      }
    }
    return Images(shape: shape, scalars: result)
  }

  private static func zip(_ a: Images, _ b: Images, _ combine: (Float, Float) -> Float) -> Images {
    precondition(a.shape == b.shape, "images of \(a.shape) and \(b.shape) do not combine")
    let result = a.scalars.withUnsafeBufferPointer { x in
      b.scalars.withUnsafeBufferPointer { y in
        [Float](unsafeUninitializedCapacity: x.count) { z, count in
          for i in x.indices { z.initializeElement(at: i, to: combine(x[i], y[i])) }
          count = x.count
        }
      }
    }
    return Images(shape: a.shape, scalars: result)
  }
}
