import Files
import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Lines and points over two axes, as SVG or PNG: dark ink on a white card, legible on light and dark pages.
///
/// ```swift
/// var plot = Plot(title: "Training", x: "step", y: "loss (mean squared error)")
/// plot.series.append(.init("loss", x: steps, y: losses, style: .faint))
/// plot.series.append(.init("smoothed", x: steps, y: Plot.smoothed(losses)))
/// try plot.write(to: folder.appending(path: "loss.png"))
/// ```
public struct Plot: Sendable {
  /// How the values of a series are drawn.
  public enum Style: Sendable {
    /// Joined by lines.
    case line
    /// A thin pale line, for raw values behind a smoothed curve. It takes the colour of the next series, and no legend.
    case faint
    /// Dots.
    case points
    /// Small pale dots, for thousands of them.
    case cloud
    /// Dots joined by lines.
    case linePoints
  }

  /// Values to draw in one colour.
  public struct Series: Sendable {
    /// What the legend says; empty for no entry.
    public var name: String
    /// On the scale of the axis, one for each of `y`.
    public var x: [Double]
    /// One for each of `x`; what is not finite leaves a gap.
    public var y: [Double]
    /// Draws a band of y ± spread; empty for none.
    public var spread: [Double]
    /// How the values are joined.
    public var style: Style

    /// A series of as many x as y.
    public init(_ name: String, x: [Double], y: [Double], spread: [Double] = [], style: Style = .line) {
      precondition(x.count == y.count, "\(x.count) x for \(y.count) y in '\(name)'")
      precondition(spread.isEmpty || spread.count == y.count, "\(spread.count) spreads for \(y.count) y in '\(name)'")
      self.name = name
      self.x = x
      self.y = y
      self.spread = spread
      self.style = style
    }
  }

  /// How an axis divides its length.
  public enum Scale: Sendable {
    case linear
    /// Values that are not positive are left out.
    case logarithmic
  }

  /// Above the plot; empty for none.
  public var title: String
  /// What the axes show, with units.
  public var xLabel: String
  /// What the y axis shows, with its unit.
  public var yLabel: String
  /// Of the y axis; the x axis is linear.
  public var yScale: Scale
  /// Drawn in their order, each in the next colour but for faint ones.
  public var series: [Series]
  /// Behind the series: a function of the plane in colours.
  public var heatMap: HeatMap?
  /// Before the series: a field of vectors.
  public var arrows: [Arrow] = []
  /// Whether both axes have one scale, so that circles are round.
  public var hasEqualScales = false
  /// What to show; nil fits the data.
  public var xRange: ClosedRange<Double>?
  /// What the y axis shows; nil fits the data.
  public var yRange: ClosedRange<Double>?
  /// The card's size in points; a PNG has ``pixelsPerPoint`` times as many pixels.
  public var width: Int
  /// The card's height in points.
  public var height: Int
  /// Pixels of a PNG for each point, both ways.
  public var pixelsPerPoint: Double

  /// - Parameters:
  ///   - x: what the x axis shows, with its unit.
  ///   - y: what the y axis shows, with its unit.
  ///   - width: of the card in points, 200 or more.
  ///   - height: of the card in points, 150 or more.
  public init(
    title: String, x: String, y: String, yScale: Scale = .linear, series: [Series] = [], width: Int = 800,
    height: Int = 480, pixelsPerPoint: Double = 2
  ) {
    precondition(width >= 200 && height >= 150, "a plot of \(width)×\(height) points has no room for axes")
    precondition(pixelsPerPoint > 0, "\(pixelsPerPoint) pixels a point")
    self.title = title
    xLabel = x
    yLabel = y
    self.yScale = yScale
    self.series = series
    self.width = width
    self.height = height
    self.pixelsPerPoint = pixelsPerPoint
  }

  /// Writes `.svg` or `.png`, as the file's name says, whole or not at all.
  public func write(to url: URL) throws {
    switch FileTree.suffix(of: url.lastPathComponent) {
    case ".svg": try AtomicFile.write(svg(), to: url)
    case ".png": try AtomicFile.write(image().png(), to: url)
    default:
      throw DataError(.unsupported, file: url.path, "names no plot format", remedy: "end it in .svg or .png")
    }
  }

  /// Each value's mean with its neighbours before and after, whose weight halves every `halfLife` values (a two-hundredth of all,
  /// unless told). Looking both ways, the curve does not lag behind the data.
  public static func smoothed(_ values: [Double], halfLife: Double? = nil) -> [Double] {
    let halfLife = max(halfLife ?? Double(values.count) / 200, 1e-9)
    let keep = exp2(-1 / halfLife)
    // Σ_j keep^|i−j| y_j / Σ_j keep^|i−j|, from two passes: j ≤ i, and j > i.
    func pass(_ values: some Sequence<Double>) -> [(sum: Double, weight: Double)] {
      var sum = 0.0
      var weight = 0.0
      return values.map { value in
        (sum, weight) = (keep * sum, keep * weight)
        if value.isFinite { (sum, weight) = (sum + value, weight + 1) }
        return (sum, weight)
      }
    }
    let before = pass(values), after = Array(pass(values.reversed()).reversed())
    return values.indices.map { i in
      let next = i + 1 < values.count ? after[i + 1] : (sum: 0, weight: 0)
      let weight = before[i].weight + keep * next.weight
      return weight > 0 ? (before[i].sum + keep * next.sum) / weight : .nan
    }
  }
}
