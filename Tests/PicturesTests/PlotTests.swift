import Datasets
import Files
import Pictures
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct PlotTests {
  static func loss(_ count: Int) -> Plot {
    var random = CounterRandom(seed: 1, stream: 0, index: 0)
    let x = (0..<count).map { Double($0) }
    let y = x.map { 0.03 + 0.6 / (1 + $0 / 200) + 0.02 * random.unit() }
    return Plot(
      title: "Training loss", x: "step", y: "loss (mean squared error of ε)",
      series: [.init("loss", x: x, y: y, style: .faint), .init("smoothed", x: x, y: Plot.smoothed(y))])
  }

  static var bound: Plot {
    let t = (1...1000).map { Double($0) }
    let terms = t.map { 1e-5 + 0.5 / ($0 * $0) + 2e-4 / $0 }
    return Plot(
      title: "Variational bound", x: "timestep t", y: "L_t (bits/dim)", yScale: .logarithmic,
      series: [
        .init("L_t, small variance", x: t, y: terms, spread: terms.map { $0 * 0.4 }),
        .init("L_t, large variance", x: t, y: terms.map { 2.2 * $0 + 1e-5 }),
        .init(
          "sampled t", x: [1, 50, 200, 500, 800, 990], y: [0.4, 3e-4, 4e-5, 2e-5, 1.3e-5, 1.1e-5], style: .linePoints),
      ])
  }

  @Test func svgIsWellFormedAndHasItsLabels() {
    var plot = Self.bound
    plot.title = "a < b & \"c\""
    let svg = plot.svg()
    #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
    #expect(svg.contains("a &lt; b &amp; &quot;c&quot;</text>") && svg.contains(">timestep t</text>"))
    #expect(svg.contains(">0.001</text>") && svg.contains(">1e-5</text>") && svg.contains("<polygon"))
    #expect(!svg.contains("nan") && !svg.contains("inf"))
  }

  @Test func oddDataIsDrawnWithoutTrouble() {
    for values in [[], [1], [.nan], [5, 5, 5], [.infinity, 1, 2], [0, 0, 0], [-1e300, 1e300], [1e-300, 2e-300]]
      as [[Double]]
    {
      for scale in [Plot.Scale.linear, .logarithmic] {
        let series = Plot.Series("x", x: values.indices.map { Double($0) }, y: values, style: .linePoints)
        let plot = Plot(title: "", x: "", y: "", yScale: scale, series: [series], width: 200, height: 150)
        #expect(!plot.svg().contains("nan"))
        #expect(plot.image().width == 400)
      }
    }
  }

  @Test func longSeriesStaySmall() {
    #expect(Self.loss(200_000).svg().utf8.count < 200_000)
  }

  @Test func aRangeClips() throws {
    var plot = Self.loss(1000)
    plot.yRange = 0...0.1
    plot.xRange = 100...900
    let points = plot.svg().split(separator: "\n").filter { $0.contains("polyline") }
      .flatMap { $0.split(separator: "\"")[1].split(separator: " ") }.map {
        $0.split(separator: ",").compactMap { Double($0) }
      }
    #expect(points.allSatisfy { $0.count == 2 && (0...800).contains($0[0]) && (20...480).contains($0[1]) })
  }

  /// A band over ln SNR runs to the left as t grows.
  @Test func bandsRunBothWays() {
    let x = [0.0, 1, 2, 3], y = [1.0, 2, 1, 3]
    func plot(_ x: [Double], _ y: [Double], spread: Double) -> Image8 {
      let series = Plot.Series("y", x: x, y: y, spread: y.map { _ in spread })
      var plot = Plot(title: "", x: "x", y: "y", series: [series], width: 200, height: 150)
      plot.yRange = 0...4
      return plot.image()
    }
    let rising = plot(x, y, spread: 0.5)
    #expect(plot(x.reversed(), y.reversed(), spread: 0.5) == rising)
    #expect(plot(x, y, spread: 0) != rising)
  }

  @Test func smoothingIsUnbiased() {
    #expect(Plot.smoothed([3, 3, 3, 3]).allSatisfy { abs($0 - 3) < 1e-12 })
    #expect(Plot.smoothed([1, .nan, 1]).allSatisfy { abs($0 - 1) < 1e-12 })
    // Half-life 1: weights 1, ½, ¼ to both sides.
    let smooth = Plot.smoothed([0, 0, 7, 0, 0], halfLife: 1)
    #expect(abs(smooth[2] - 7 / 2.5) < 1e-12 && abs(smooth[0] - 7 * 0.25 / (1 + 0.5 + 0.25 + 0.125 + 0.0625)) < 1e-12)
  }

  @Test func theFileNameChoosesTheFormat() throws {
    try withTemporaryFolder { folder in
      try Self.loss(10).write(to: folder.appending(path: "a.svg"))
      try Self.loss(10).write(to: folder.appending(path: "a.png"))
      #expect(throws: DataError.self) { try Self.loss(10).write(to: folder.appending(path: "a.pdf")) }
      #expect(try Image8(contentsOf: folder.appending(path: "a.png")).width == 1600)
    }
  }

  @Test(.enabled(if: PictureFolder.url != nil, "set DDPM_PICTURES to a folder to look"))
  func pictures() throws {
    let folder = try #require(PictureFolder.url)
    for type in ["png", "svg"] {
      try Self.loss(5000).write(to: folder.appending(path: "loss.\(type)"))
      try Self.bound.write(to: folder.appending(path: "bound.\(type)"))
    }
    let letters = "The quick brown fox jumps over the lazy dog. 0123456789 (αβεσμ) ± × √ 50% [x, y] = a_b/c²"
    try Plot(
      title: letters, x: letters.uppercased(), y: "RMSE (0–255)",
      series: [.init("", x: [0, 0.00012], y: [-3, 25_000])], width: 1000, height: 300
    )
    .write(to: folder.appending(path: "letters.png"))
  }
}
