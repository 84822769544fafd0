import Datasets
import Files
import Pictures
import Platform
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct PlanePlotTests {
  static func points(_ figure: PointFigure, _ count: Int) -> [Plot.Series] {
    let points = FigurePoints(figure, seed: 1)
    var classes: [Int32: (x: [Double], y: [Double])] = [:]
    for i in 0..<count {
      let example = points.load(i), values = example.values ?? []
      classes[example.label, default: ([], [])].x.append(Double(values[0]))
      classes[example.label, default: ([], [])].y.append(Double(values[1]))
    }
    return classes.sorted { $0.key < $1.key }.map { label, points in
      let name = figure.classes.isEmpty ? "" : figure.classes[Int(label)]
      return Plot.Series(name, x: points.x, y: points.y, style: .cloud)
    }
  }

  static func square(_ title: String, _ series: [Plot.Series] = []) -> Plot {
    var plot = Plot(title: title, x: "x", y: "y", series: series, width: 420, height: 420)
    plot.hasEqualScales = true
    return plot
  }

  static func density(_ figure: PointFigure, _ palette: Plot.HeatMap.Palette = .viridis) -> Plot {
    let components = FigurePoints(figure).density ?? []
    var plot = square("ᾱ₀ = 1: q(x₀)")
    plot.heatMap = Plot.HeatMap("ln q", x: -2.5...2.5, y: -2.5...2.5, range: -6...0.5, palette: palette) { x, y in
      log(
        components.reduce(1e-12) { sum, c in
          let away = (x - c.mean[0]) * (x - c.mean[0]) + (y - c.mean[1]) * (y - c.mean[1])
          return sum + c.weight * exp(-away / (2 * c.variance)) / (2 * .pi * c.variance)
        })
    }
    return plot
  }

  /// The place of a point, read back from the SVG's only dots.
  private func dots(_ plot: Plot) -> [(Double, Double)] {
    guard let path = plot.svg().split(separator: "\n").first(where: { $0.contains("h0") }) else { return [] }
    return path.split(separator: "\"")[1].split(separator: "M").compactMap { dot in
      let numbers = dot.dropLast(2).split(separator: ",").compactMap { Double($0) }
      return numbers.count == 2 ? (numbers[0], numbers[1]) : nil
    }
  }

  @Test func equalScalesKeepShapes() throws {
    // A flat rectangle in a square card, and in a wide one.
    for width in [420, 800] {
      var plot = Plot(
        title: "", x: "", y: "", series: [.init("", x: [0, 4, 4, 0], y: [0, 0, 1, 1], style: .points)], width: width,
        height: 420)
      plot.hasEqualScales = true
      let p = dots(plot)
      try #require(p.count == 4)
      #expect(abs((p[1].0 - p[0].0) / 4 - (p[1].1 - p[2].1)) < 0.05)
      plot.hasEqualScales = false
      let q = dots(plot)
      #expect(abs((q[1].0 - q[0].0) / 4 - (q[1].1 - q[2].1)) > 5)
    }
  }

  @Test func heatMapsAreDrawnWhereTheyBelong() throws {
    var plot = Plot(title: "", x: "", y: "", width: 400, height: 300, pixelsPerPoint: 1)
    plot.heatMap = Plot.HeatMap("f", x: 0...2, y: 0...1, columns: 2, rows: 1) { x, _ in x }
    #expect(plot.heatMap?.values == [0.5, 1.5])
    let image = plot.image()
    let colour = { (x: Int, y: Int) in (0..<3).map { image[x, y, $0] } }
    // Dark to the left, bright to the right, and on the scale dark below.
    #expect(colour(100, 120) == [0x44, 0x01, 0x54] && colour(270, 120) == [0xFD, 0xE7, 0x25])
    let bar = 400 - 28 - 86 + 20
    #expect(colour(bar, 30)[0] > 200 && colour(bar, 255)[0] < 90)
    #expect(plot.svg().contains("data:image/png;base64,iVBOR") && !plot.svg().contains("nan"))
    // Half of it outside what is shown.
    plot.xRange = 1...2
    #expect((0..<3).map { plot.image()[100, 120, $0] } == [0xFD, 0xE7, 0x25])
    plot.xRange = 5...6
    #expect(plot.image().width == 400)
    plot.heatMap?.values = [.nan, .infinity]
    #expect(plot.image().width == 400 && !plot.svg().contains("nan"))
  }

  @Test func coloursRunThroughTheirAnchors() {
    let colour = { (place: Double) in
      let c = PlotScene.mapped(place)
      return [c.red, c.green, c.blue]
    }
    #expect(colour(0) == [0x44, 0x01, 0x54] && colour(1) == [0xFD, 0xE7, 0x25] && colour(0.5) == [0x21, 0x91, 0x8C])
    #expect(colour(-1) == colour(0) && colour(2) == colour(1) && colour(.nan) == colour(0))
    #expect(colour(0.0625) == [0x46, 0x17, 0x68])
    #expect(PlotScene.mapped(0, .pale).red == 255 && PlotScene.mapped(1, .pale).blue == 0xA0)
  }

  @Test func fieldsSpanTheirCells() {
    let arrows = Plot.vectorField(x: -1...1, y: -1...1, columns: 4, rows: 2) { x, y in (-y, x) }
    #expect(arrows.count == 8 && arrows[0].x == -0.75 && arrows[0].y == -0.5)
    let longest = arrows.map { ($0.dx * $0.dx + $0.dy * $0.dy).squareRoot() }.max() ?? 0
    #expect(abs(longest - 0.95 * 0.5) < 1e-12)
    #expect(Plot.vectorField(x: 0...1, y: 0...1, columns: 2, rows: 1) { x, _ in (x < 0.5 ? .nan : 0, 0) }.count == 1)
    var plot = Self.square("")
    plot.arrows = arrows
    // A shaft and two halves of a head each.
    #expect(
      plot.svg().split(separator: "\n").filter { $0.contains("polyline") && $0.contains("stroke-opacity") }.count == 24)
  }

  @Test func panelsStandInRows() {
    let plots = [Self.square("a"), Self.square("b"), Self.square("c")]
    let row = PlotRow(plots), grid = PlotRow(plots, columns: 2)
    #expect(row.image().width == 2520 && row.image().height == 840)
    #expect(grid.image().width == 1680 && grid.image().height == 1680)
    #expect(grid.svg().contains("viewBox=\"0 0 840 840\"") && grid.svg().contains("<svg x=\"0\" y=\"420\" "))
  }

  /// No letter that the product writes is an empty box.
  @Test func lettersAreKnown() {
    let text = "αβγδεζηθκλμνξπρστφχψωΓΔΘΛΞΠΣΦΨΩ∇∂∫∞≤≥≈≠∼∝→←∈‖⟨⟩½°′·×±√²x₀xₜxₛβ̃μ̃ᾱx̂ε̂σ̄q₁₋₂10⁻³ẋ∑∏{}"
    for character in text { #expect(!StrokeFont.shapes(of: character).isEmpty, "\(character)") }
    // However it is written.
    #expect(StrokeFont.width(of: "\u{1FB1}") == StrokeFont.width(of: "\u{3B1}\u{304}"))
    #expect(StrokeFont.strokes(of: "ᾱ").count == StrokeFont.strokes(of: "α").count + 1)
    // Small characters are narrower, low or high.
    #expect(StrokeFont.width(of: "₀") < StrokeFont.width(of: "0"))
    #expect(
      StrokeFont.strokes(of: "₀").joined().allSatisfy { $0.y > 60 }
        && StrokeFont.strokes(of: "⁰").joined().allSatisfy { $0.y < 50 })
    #expect(StrokeFont.shapes(of: "漢").isEmpty)
    // The glyphs' own ways of writing are untouched.
    #expect(StrokeFont.shapes(of: "A").count == 3 && StrokeFont.shapes(of: "2").count == 2)
  }

  @Test(.enabled(if: PictureFolder.url != nil, "set DDPM_PICTURES to a folder to look"))
  func pictures() throws {
    let folder = try #require(PictureFolder.url)
    for type in ["png", "svg"] {
      try PlotRow(PointFigure.allCases.map { Self.square($0.rawValue, Self.points($0, 3000)) }, columns: 3)
        .write(to: folder.appending(path: "points.\(type)"))
      var score = Self.density(.moons)
      score.title = "∇ln q_t and a heat map"
      score.arrows = Plot.vectorField(x: -2.5...2.5, y: -2.5...2.5) { x, y in (-y, x) }
      var cloud = Self.density(.gaussians, .pale)
      cloud.series = Self.points(.gaussians, 300)
      cloud.arrows = score.arrows
      try PlotRow([Self.density(.swissRoll), score, cloud]).write(to: folder.appending(path: "plane.\(type)"))
    }
    try Plot(
      title: "αβγδεζηθκλμνξπρστφχψω ΓΔΘΛΞΠΣΦΨΩ ∇∂∫∞ ≤≥≈≠∼∝→←∈",
      x: "ᾱₜ = ∏ₛ αₛ,  β̃ₜ,  μ̃,  x̂₀,  ε̂,  σ̄,  √(1 − ᾱ),  ‖x₀ − x̂₀‖²,  ⟨e⁻ʷ⟩", y: "−dKL/dτ, H(xₜ) ½°′ 10⁻³ {q₁₂}",
      series: [.init("", x: [0, 1], y: [0, 1])], width: 1000, height: 300
    ).write(to: folder.appending(path: "mathematics.png"))
  }
}
