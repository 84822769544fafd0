/// x ↦ (x − centre)/scale: to zero mean, and to a variance that is 1 in the mean of the coordinates. One scale for all keeps shapes.
public struct Standardisation: Sendable, Equatable {
  /// The mean, one value a coordinate.
  public let centre: [Double]
  /// The root of the mean of the coordinates' variances; 1 where all points are the same.
  public let scale: Double

  init(centre: [Double], scale: Double) {
    self.centre = centre
    // Points that are all the same stay at zero.
    self.scale = scale > 0 ? scale : 1
  }

  /// Of a density.
  init(of components: [PointComponent]) {
    let total = components.reduce(0) { $0 + $1.weight }
    let d = components.first?.mean.count ?? 0
    let centre = (0..<d).map { i in components.reduce(0) { $0 + $1.weight * $1.mean[i] } / total }
    let variance = components.reduce(0) { sum, component in
      sum + component.weight
        * (component.variance * Double(d) + zip(component.mean, centre).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) })
    }
    self.init(centre: centre, scale: (variance / total / Double(max(d, 1))).squareRoot())
  }

  /// Of points, `dimension` values each.
  init(of values: [Double], dimension d: Int) {
    var centre = [Double](repeating: 0, count: d)
    let count = Double(max(values.count / d, 1))
    for (i, value) in values.enumerated() { centre[i % d] += value / count }
    let squares = values.indices.reduce(0) { $0 + (values[$1] - centre[$1 % d]) * (values[$1] - centre[$1 % d]) }
    self.init(centre: centre, scale: (squares / count / Double(d)).squareRoot())
  }

  func callAsFunction(_ x: [Double]) -> [Float] { zip(x, centre).map { Float(($0 - $1) / scale) } }

  func callAsFunction(_ component: PointComponent) -> PointComponent {
    PointComponent(
      weight: component.weight, mean: zip(component.mean, centre).map { ($0 - $1) / scale },
      variance: component.variance / (scale * scale), label: component.label)
  }
}
