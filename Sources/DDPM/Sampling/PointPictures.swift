import Diffusion
import Files
import Pictures

/// Samples that are points, drawn: where they lie, how densely, how they came there, and where the network pushes. Of more than two
/// coordinates the first two are shown; of one, it lies on a line.
public struct PointPictures: Sendable {
  /// The class of each point; empty where there are none.
  public var labels: [Int?] = []
  /// The classes' names, by number.
  public var names: [String] = []
  /// What plots show of both axes; nil fits the points.
  public var range: ClosedRange<Double>?

  /// A plot's colours by label, their names, and what part of the plane is shown: all of it unless given.
  public init(labels: [Int?] = [], names: [String] = [], range: ClosedRange<Double>? = nil) {
    (self.labels, self.names, self.range) = (labels, names, range)
  }

  /// The points, each class in its colour.
  ///
  /// - Parameter x: [N, d, 1, 1].
  public func points(_ x: Images, title: String) -> Plot {
    var plot = plane(title)
    let classes = Set(labels.compactMap(\.self)).sorted()
    // A dozen colours can be told apart.
    if classes.count > 1, classes.count <= 12 {
      for label in classes {
        let members = labels.indices.filter { labels[$0] == label && $0 < x.shape.count }
        plot.series.append(
          series(names.indices.contains(label) ? names[label] : "\(label)", members.map { place(x, $0) }))
      }
    } else {
      plot.series = [series("", (0..<x.shape.count).map { place(x, $0) })]
    }
    return plot
  }

  /// How many of the points lie in each of `cells` × `cells` cells, as a density.
  public func density(_ x: Images, title: String, cells: Int = 60) -> Plot {
    let range = range ?? Self.range(of: x)
    let width = (range.upperBound - range.lowerBound) / Double(cells)
    var counts = [Int](repeating: 0, count: cells * cells)
    func cell(_ value: Double) -> Int { min(max(Int((value - range.lowerBound) / width), 0), cells - 1) }
    for n in 0..<x.shape.count {
      let p = place(x, n)
      if range.contains(p.x), range.contains(p.y) { counts[cell(p.y) * cells + cell(p.x)] += 1 }
    }
    var plot = plane(title)
    (plot.xRange, plot.yRange) = (range, range)
    plot.heatMap = Plot.HeatMap("points per unit of area", x: range, y: range, columns: cells, rows: cells) {
      Double(counts[cell($1) * cells + cell($0)]) / (Double(max(1, x.shape.count)) * width * width)
    }
    return plot
  }

  /// The ways of some points, from noise to data.
  ///
  /// - Parameter path: x_T, …, x_0, each [N, d, 1, 1].
  public func trajectories(_ path: [Images], title: String, count: Int = 40) -> Plot {
    var plot = plane(title)
    guard let last = path.last else { return plot }
    for n in 0..<min(count, last.shape.count) {
      let way = path.map { place($0, n) }
      plot.series.append(.init("", x: way.map(\.x), y: way.map(\.y), style: .faint))
    }
    plot.series.append(series("", (0..<min(count, last.shape.count)).map { place(last, $0) }))
    return plot
  }

  /// A field of vectors over the points.
  public func field(_ x: Images, title: String, _ field: (Double, Double) throws -> (Double, Double)) rethrows -> Plot {
    var plot = points(x, title: title)
    let range = range ?? Self.range(of: x)
    (plot.xRange, plot.yRange) = (range, range)
    plot.arrows = try Plot.vectorField(x: range, y: range, field)
    return plot
  }

  /// A range that holds all but the farthest thousandth of the coordinates that are shown, the same to either side of 0.
  public static func range(of x: Images) -> ClosedRange<Double> {
    let d = min(2, x.shape.dimension)
    let sizes = (0..<x.shape.count).flatMap { n in
      x.scalars[x.range(ofSample: n)].prefix(d).map { abs(Double($0)) }
    }.sorted()
    let most = 1.1 * (sizes.isEmpty ? 1 : sizes[min(sizes.count - 1, sizes.count * 999 / 1000)])
    return most > 0 ? -most...most : -1...1
  }

  /// The points as a table: a column a coordinate, and one of classes where there are any. `ddpm train --data FILE.csv` reads it.
  public func csv(_ x: Images) -> String {
    let isLabelled = labels.contains { $0 != nil }
    let header = (1...x.shape.dimension).map { "x\($0)" } + (isLabelled ? ["class"] : [])
    let rows = (0..<x.shape.count).map { n in
      let label = labels.indices.contains(n) ? labels[n] : nil
      let name = label.map { names.indices.contains($0) ? names[$0] : "\($0)" } ?? "none"
      return (x.scalars[x.range(ofSample: n)].map { "\($0)" } + (isLabelled ? [name] : [])).joined(separator: ",")
    }
    return ([header.joined(separator: ",")] + rows).joined(separator: "\n") + "\n"
  }

  private func plane(_ title: String) -> Plot {
    var plot = Plot(title: title, x: "x₁", y: "x₂", width: 440, height: 440)
    plot.hasEqualScales = true
    (plot.xRange, plot.yRange) = (range, range)
    return plot
  }

  private func series(_ name: String, _ points: [(x: Double, y: Double)]) -> Plot.Series {
    .init(name, x: points.map(\.x), y: points.map(\.y), style: .cloud)
  }

  private func place(_ x: Images, _ n: Int) -> (x: Double, y: Double) {
    let sample = x.scalars[x.range(ofSample: n)]
    return (Double(sample[sample.startIndex]), sample.count > 1 ? Double(sample[sample.startIndex + 1]) : 0)
  }
}
