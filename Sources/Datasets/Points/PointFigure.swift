import Pictures
import Platform

/// The embedded point sets of the plane.
public enum PointFigure: String, Sendable, CaseIterable {
  /// Eight round Gaussians on a circle, one class each.
  case gaussians
  /// Two half circles that embrace each other, one class each, with noise.
  case moons
  /// A rolled-up strip seen from the side, with noise.
  case swissRoll = "swiss_roll"
  /// Eight squares of a 4 × 4 board, evenly filled.
  case checkerboard
  /// Two arms, one class each, with noise.
  case spiral

  /// The classes' names, by label; empty where there is only one kind of point.
  public var classes: [String] {
    switch self {
    case .gaussians: (0..<8).map { String($0) }
    case .moons: ["upper", "lower"]
    case .spiral: ["first arm", "second arm"]
    case .swissRoll, .checkerboard: []
    }
  }

  /// Curves blurred by round Gaussian noise of this width, each as likely as another; none for the checkerboard. The number of nodes is
  /// enough for an integral along a curve to be that of the density to 1e-6.
  package var curves: (curves: [Curve], noise: Double, nodes: Int)? {
    switch self {
    case .gaussians:
      let angles = (0..<8).map { Double($0) * .pi / 4 }
      return (angles.map { angle in Curve { _ in Point(cos(angle), sin(angle)) } }, 0.12, 1)
    case .moons:
      return (
        [
          Curve { Point(cos(.pi * $0), sin(.pi * $0)) }, Curve { Point(1 - cos(.pi * $0), 0.5 - sin(.pi * $0)) },
        ], 0.1, 64
      )
    case .swissRoll:
      return (
        [
          Curve {
            let angle = 1.5 * .pi * (1 + 2 * $0)
            return Point(angle * cos(angle), angle * sin(angle))
          }
        ], 0.5, 400
      )
    case .spiral:
      let arms = [0, Double.pi].map { start in
        // v is the square root of a uniform number, so that points lie evenly along the arm.
        Curve(quantile: { $0.squareRoot() }, density: { 2 * $0 }) { v in
          Point(v * cos(3.5 * .pi * v + start), v * sin(3.5 * .pi * v + start))
        }
      }
      return (arms, 0.04, 256)
    case .checkerboard: return nil
    }
  }

  /// A curve, and how densely its points lie along its parameter v in [0, 1].
  package struct Curve: Sendable {
    package var quantile: @Sendable (Double) -> Double = { $0 }
    var density: @Sendable (Double) -> Double = { _ in 1 }
    package var point: @Sendable (Double) -> Point

    init(
      quantile: @escaping @Sendable (Double) -> Double = { $0 },
      density: @escaping @Sendable (Double) -> Double = { _ in 1 }, _ point: @escaping @Sendable (Double) -> Point
    ) {
      (self.quantile, self.density, self.point) = (quantile, density, point)
    }
  }
}

/// One round Gaussian of a density that is a mixture of them.
public struct PointComponent: Sendable, Equatable {
  /// w; those of a density add up to 1.
  public let weight: Double
  /// One value a coordinate.
  public let mean: [Double]
  /// Of each coordinate.
  public let variance: Double
  /// The class of its points.
  public let label: Int
}

/// An endless set of points from a formula.
///
/// Point i is a function of (seed, split, i) alone. The set is centred, and divided by one number, so that the mean of its coordinates'
/// variances is 1: shapes stay what they are, and E‖x_0‖² = 2.
public struct FigurePoints: ImageSource {
  /// What the points look like.
  public let figure: PointFigure
  /// Another seed is another set of the same density.
  public let seed: UInt64
  /// Train and test are independent of each other.
  public let split: Dataset.Split
  /// The density, exactly for the Gaussians, and to 1e-6 for the blurred curves, which are the limit of a chain of Gaussians (nodes of
  /// Gauss and Legendre along each curve); nil for the checkerboard.
  public let density: [PointComponent]?
  private let standard: Standardisation
  private let curves: [PointFigure.Curve]
  private let noise: Double

  /// Also integrates the density along its curves.
  public init(_ figure: PointFigure, seed: UInt64 = 0, split: Dataset.Split = .train) {
    self.figure = figure
    self.seed = seed
    self.split = split
    guard let (curves, noise, nodes) = figure.curves else {
      // Each coordinate is uniform in [−2, 2].
      standard = Standardisation(centre: [0, 0], scale: (4.0 / 3).squareRoot())
      density = nil
      (self.curves, noise) = ([], 0)
      return
    }
    (self.curves, self.noise) = (curves, noise)
    let rule = GaussLegendre(nodes)
    let components = curves.enumerated().flatMap { label, curve in
      zip(rule.nodes, rule.weights).map { v, weight in
        let p = curve.point(v)
        return PointComponent(
          weight: weight * curve.density(v) / Double(curves.count), mean: [p.x, p.y], variance: noise * noise,
          label: label)
      }
    }
    let standard = Standardisation(of: components)
    self.standard = standard
    density = components.map { standard($0) }
  }

  /// An epoch.
  public var count: Int { split == .train ? 50_000 : 10_000 }
  /// True: any index that is not negative is a point.
  public var isEndless: Bool { true }
  /// False: numbers.
  public var isPixels: Bool { false }
  /// 2×1×1.
  public var shape: ImageShape { ImageShape(channels: 2, height: 1, width: 1) }

  /// Point `index`, labelled with its Gaussian or arm; 0 where there is one kind.
  public func load(_ index: Int) -> Example {
    var random = CounterRandom(seed: seed, stream: split == .train ? 0x706F_696E_7401 : 0x706F_696E_7402, index: index)
    let (x, label) = draw(&random)
    return Example(values: standard(x), label: Int32(label))
  }

  private func draw(_ random: inout CounterRandom) -> (x: [Double], label: Int) {
    guard !curves.isEmpty else {
      // One of eight squares, two a column, and a place in it.
      let square = Int(random.next() % 8)
      let (column, row) = (square % 4, 2 * (square / 4) + square % 2)
      return ([Double(column) - 2 + random.unit(), Double(row) - 2 + random.unit()], 0)
    }
    let label = Int(random.next() % UInt64(curves.count))
    let p = curves[label].point(curves[label].quantile(random.unit()))
    return ([p.x + noise * random.normal(), p.y + noise * random.normal()], label)
  }
}

extension CounterRandom {
  /// N(0, 1), by Box and Muller.
  mutating func normal() -> Double {
    let (u, v) = (1 - unit(), unit())
    return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
  }
}

/// Nodes and weights for ∫₀¹: n of them integrate polynomials up to degree 2n − 1 exactly.
package struct GaussLegendre {
  package let nodes: [Double]
  package let weights: [Double]

  package init(_ n: Int) {
    precondition(n > 0, "a rule of \(n) nodes")
    var (nodes, weights): ([Double], [Double]) = ([], [])
    for i in 0..<n {
      // The roots of the Legendre polynomial P_n, by Newton's method from Chebyshev's.
      var x = cos(.pi * (Double(i) + 0.75) / (Double(n) + 0.5))
      var slope = 1.0
      for _ in 0..<100 {
        var (p, before) = (x, 1.0)
        for k in stride(from: 2, through: n, by: 1) {
          (p, before) = ((Double(2 * k - 1) * x * p - Double(k - 1) * before) / Double(k), p)
        }
        slope = n == 1 ? 1 : Double(n) * (x * p - before) / (x * x - 1)
        let step = p / slope
        x -= step
        if abs(step) < 1e-15 { break }
      }
      nodes.append((1 - x) / 2)
      weights.append(1 / ((1 - x * x) * slope * slope))
    }
    (self.nodes, self.weights) = (nodes, weights)
  }
}
