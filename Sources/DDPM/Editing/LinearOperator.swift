import Diffusion

/// A of a measurement y = A x + n: a linear map of pictures, with what its inversion needs.
public protocol LinearOperator: Sendable {
  /// A x.
  ///
  /// - Parameter x: [N, C, H, W].
  func apply(_ x: Images) -> Images
  /// Aᵀ y, by which ⟨A x, y⟩ = ⟨x, Aᵀ y⟩.
  func adjoint(_ y: Images) -> Images
  /// r² Aᵀ (r² A Aᵀ + σ² I)⁻¹ y: the mean of x ~ N(0, r² I) once y = A x + σ n is known. For σ = 0 it is A⁺ y, whatever r is.
  func gain(_ y: Images, spread r²: Double, noise σ²: Double) -> Images
}

/// An operator whose rows are orthogonal and of one length: A Aᵀ = c I.
public protocol TightOperator: LinearOperator {
  /// c.
  var squaredRow: Double { get }
}

extension TightOperator {
  /// r²/(r² c + σ²) Aᵀ y; Aᵀ y/c for σ² = 0.
  public func gain(_ y: Images, spread r²: Double, noise σ²: Double) -> Images {
    // r² Aᵀ (r² A Aᵀ + σ² I)⁻¹ y = r² / (r² c + σ²) Aᵀ y
    (σ² == 0 ? 1 / squaredRow : r² / (r² * squaredRow + σ²)) * adjoint(y)
  }
}

/// The mean of each scale × scale pixels: what a picture of 1/scale the size shows.
public struct BlockMean: TightOperator {
  /// k: the sides of the picture are its multiples.
  public let scale: Int

  /// - Parameter scale: k, at least 1.
  public init(scale: Int) { self.scale = scale }

  /// [N, C, H, W] → [N, C, H/k, W/k].
  public func apply(_ x: Images) -> Images { SuperResolution(scale: scale).reduced(x) }

  /// [N, C, H, W] → [N, C, kH, kW]: each pixel's k²-th part, k × k times.
  public func adjoint(_ y: Images) -> Images { squaredRow * SuperResolution(scale: scale).enlarged(y) }

  /// k² entries of 1/k² each.
  public var squaredRow: Double { 1 / Double(scale * scale) }
}

/// The grey of RGB pixels: ITU-R 601's luma, as pictures are greyed.
public struct Greying: TightOperator {
  private static let weights = [0.299, 0.587, 0.114]

  /// There is nothing to choose.
  public init() {}

  /// [N, 3, H, W] → [N, 1, H, W].
  public func apply(_ x: Images) -> Images {
    precondition(x.shape.channels == 3, "the grey of \(x.shape), which is not RGB")
    var shape = x.shape
    shape.channels = 1
    let area = shape.dimension
    let scalars = (0..<shape.count).flatMap { n in
      (0..<area).map { i in
        // y = Σ_c w_c x_c
        Float((0..<3).reduce(0.0) { $0 + Self.weights[$1] * Double(x.scalars[(3 * n + $1) * area + i]) })
      }
    }
    return Images(shape: shape, scalars: scalars)
  }

  /// [N, 1, H, W] → [N, 3, H, W]: the grey times each weight.
  public func adjoint(_ y: Images) -> Images {
    precondition(y.shape.channels == 1, "\(y.shape) is not grey")
    var shape = y.shape
    shape.channels = 3
    return Images(
      shape: shape,
      scalars: (0..<y.shape.count).flatMap { n in
        Self.weights.flatMap { w in y.scalars[y.range(ofSample: n)].map { Float(w * Double($0)) } }
      })
  }

  /// Σ w_c².
  public var squaredRow: Double { Self.weights.reduce(0) { $0 + $1 * $1 } }
}
