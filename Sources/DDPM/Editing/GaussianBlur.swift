import Diffusion
import Platform

/// Convolution with a Gaussian; beyond its border a picture goes on as its mirror image.
///
/// The mirror makes A symmetric, and the cosines of the DCT-II its eigenvectors: along an axis of n pixels, with the kernel h,
///
///     Σ_j h_j cos(πk(i+j+½)/n) = λ_k cos(πk(i+½)/n),   λ_k = Σ_j h_j cos(πkj/n)
///
/// so that A, Aᵀ and every function of A Aᵀ are exact.
public struct GaussianBlur: LinearOperator {
  /// The kernel's standard deviation in pixels.
  public let σ: Double
  /// σ, by a name that any keyboard types.
  public var sigma: Double { σ }
  private let rows: Axis
  private let columns: Axis

  /// - Parameters:
  ///   - σ: positive.
  ///   - height: of the pictures.
  ///   - width: of the pictures.
  public init(sigma σ: Double, height: Int, width: Int) {
    precondition(σ > 0 && σ.isFinite, "a blur of \(σ) pixels")
    self.σ = σ
    rows = Axis(height, σ)
    columns = Axis(width, σ)
  }

  /// Each plane blurred; of the size that it was made for.
  public func apply(_ x: Images) -> Images { filtered(x) { $0 } }

  /// The blur itself: A is symmetric.
  public func adjoint(_ y: Images) -> Images { apply(y) }

  /// Exact, by the cosines; for σ² = 0 what the blur has wiped out (|λ| ≤ 10⁻¹²) stays 0.
  public func gain(_ y: Images, spread r²: Double, noise σ²: Double) -> Images {
    filtered(y) { λ in
      // r² λ / (r² λ² + σ²); what the blur has wiped out stays unknown
      σ² == 0 ? (abs(λ) > 1e-12 ? 1 / λ : 0) : r² * λ / (r² * λ * λ + σ²)
    }
  }

  /// C⁻¹ f(Λ) C of every plane.
  private func filtered(_ x: Images, by f: (Double) -> Double) -> Images {
    let (h, w) = (rows.count, columns.count)
    precondition(x.shape.height == h && x.shape.width == w, "a blur for \(h)×\(w) of \(x.shape)")
    let factors = rows.λ.flatMap { λ in columns.λ.map { f(λ * $0) } }
    var scalars: [Float] = []
    scalars.reserveCapacity(x.scalars.count)
    for start in stride(from: 0, to: x.scalars.count, by: h * w) {
      let plane = x.scalars[start..<start + h * w].map(Double.init)
      let waves = rows.alongColumns(columns.alongRows(plane, inverse: false), width: w, inverse: false)
      let filtered = zip(waves, factors).map { $0 * $1 }
      scalars += columns.alongRows(rows.alongColumns(filtered, width: w, inverse: true), inverse: true).map {
        Float($0)
      }
    }
    return Images(shape: x.shape, scalars: scalars)
  }

  /// The cosines of one axis, and the blur's eigenvalues.
  private struct Axis {
    let count: Int
    /// λ_k.
    let λ: [Double]
    /// c_k cos(πk(i+½)/n), orthonormal, [k][i].
    private let cosines: [[Double]]

    init(_ n: Int, _ σ: Double) {
      count = n
      // Five standard deviations hold all that a Float sees.
      let reach = Int((5 * σ).rounded(.up))
      let kernel = (-reach...reach).map { j -> Double in exp(-Double(j * j) / (2 * σ * σ)) }
      let sum = kernel.reduce(0, +)
      λ = (0..<n).map { k -> Double in
        let waves = (-reach...reach).map { j -> Double in cos(.pi * Double(k * j) / Double(n)) }
        return Self.dot(kernel, waves) / sum
      }
      cosines = (0..<n).map { k -> [Double] in
        let scale = ((k == 0 ? 1.0 : 2.0) / Double(n)).squareRoot()
        return (0..<n).map { i -> Double in scale * cos(.pi * Double(k) * (Double(i) + 0.5) / Double(n)) }
      }
    }

    private static func dot(_ a: [Double], _ b: [Double]) -> Double {
      zip(a, b).reduce(0.0) { sum, pair in sum + pair.0 * pair.1 }
    }

    /// C of a line, or C⁻¹ = Cᵀ of its waves.
    private func transformed(_ line: [Double], inverse: Bool) -> [Double] {
      guard inverse else { return cosines.map { Self.dot($0, line) } }
      var result = [Double](repeating: 0, count: count)
      for (row, value) in zip(cosines, line) { for i in 0..<count { result[i] += value * row[i] } }
      return result
    }

    /// Each row of a plane.
    func alongRows(_ plane: [Double], inverse: Bool) -> [Double] {
      stride(from: 0, to: plane.count, by: count).flatMap {
        transformed(Array(plane[$0..<$0 + count]), inverse: inverse)
      }
    }

    /// Each column of a plane.
    func alongColumns(_ plane: [Double], width: Int, inverse: Bool) -> [Double] {
      var result = plane
      for x in 0..<width {
        let column = transformed((0..<count).map { plane[$0 * width + x] }, inverse: inverse)
        for y in 0..<count { result[y * width + x] = column[y] }
      }
      return result
    }
  }
}
