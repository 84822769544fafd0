/// A plot as marks at places, in points: what SVG and PNG draw alike.
package struct PlotScene {
  package struct Colour {
    package let red: UInt8
    package let green: UInt8
    package let blue: UInt8

    package init(_ hex: UInt32) {
      (red, green, blue) = (UInt8(hex >> 16 & 255), UInt8(hex >> 8 & 255), UInt8(hex & 255))
    }

    static let card = Colour(0xFFFFFF), border = Colour(0xD0D5DD), grid = Colour(0xE6E9EE), axis = Colour(0x8A93A3)
    static let ink = Colour(0x1B2330), quiet = Colour(0x475063)
    /// Okabe and Ito's, which people with any colour vision tell apart; those too pale for white are left out.
    static let series = [0x0072B2, 0xD55E00, 0x009E73, 0xAA4499, 0xB8860B, 0x3B3B98, 0x56A0D3, 0x882255].map {
      Colour($0)
    }
  }

  enum Anchor: String {
    case start
    case middle
    case end
  }

  enum Mark {
    case line([Point], width: Double, Colour, opacity: Double)
    case dots([Point], radius: Double, Colour, opacity: Double = 1)
    /// Pixels drawn over a rectangle.
    case picture(Image8, from: Point, to: Point)
    /// The area between two lines with the same x.
    case band([(x: Double, low: Double, high: Double)], Colour, opacity: Double)
    /// `at` is on the baseline. Vertical text runs upwards.
    case text(String, at: Point, size: Double, Anchor, Colour, isBold: Bool, isVertical: Bool)
  }

  let width: Double
  let height: Double
  private(set) var marks: [Mark] = []

  let plot: Plot
  private(set) var left = 0.0, right = 0.0, top = 0.0, bottom = 0.0

  init(_ plot: Plot) {
    self.plot = plot
    width = Double(plot.width)
    height = Double(plot.height)
    layOut()
  }

  /// How wide text will be: measured in our own letters, which are about as wide as a browser's.
  static func textWidth(_ text: String, size: Double) -> Double {
    StrokeFont.width(of: text) * Self.capHeight(size) / 100
  }
  static func capHeight(_ size: Double) -> Double { 0.7 * size }

  private mutating func layOut() {
    let tickSize = 13.0, labelSize = 14.0, titleSize = 17.0
    let spreads = plot.series.flatMap { series in
      zip(series.y, series.spread).flatMap { [$0 - $1, $0 + $1] }
    }
    var yAxis = Axis(
      values: plot.series.flatMap(\.y) + (plot.yScale == .linear ? spreads : []) + plot.planeValues.y,
      fixed: plot.yRange ?? plot.heatMap?.y, scale: plot.yScale, wanted: max(3, plot.height / 75), pads: true)
    var xAxis = Axis(
      values: plot.series.flatMap(\.x) + plot.planeValues.x, fixed: plot.xRange ?? plot.heatMap?.x, scale: .linear,
      wanted: max(3, plot.width / 110), pads: plot.hasEqualScales)

    // Room for what stands around the frame.
    let widest = yAxis.ticks.reduce(0) { max($0, Self.textWidth($1.text, size: tickSize)) }
    left = 18 + (plot.yLabel.isEmpty ? 0 : 26) + widest + 10
    right = width - 28 - (plot.heatMap == nil ? 0 : Self.colourBarWidth)
    top = plot.title.isEmpty ? 20 : 46
    bottom = height - 38 - (plot.xLabel.isEmpty ? 0 : 26)
    if !plot.title.isEmpty {
      text(plot.title, Point(left, 30), titleSize, .start, .ink, isBold: true)
    }
    legend(size: tickSize)
    if plot.hasEqualScales { equalise(&xAxis, &yAxis) }
    if let heatMap = plot.heatMap { draw(heatMap, xAxis, yAxis, tickSize: tickSize) }

    for tick in yAxis.ticks {
      let y = bottom - yAxis.place(tick.value) * (bottom - top)
      line([Point(left, y), Point(right, y)], 1, .grid, plot.heatMap == nil ? 1 : 0.25)
      text(tick.text, Point(left - 8, y + Self.capHeight(tickSize) / 2), tickSize, .end, .quiet)
    }
    for tick in xAxis.ticks {
      let x = left + xAxis.place(tick.value) * (right - left)
      line([Point(x, top), Point(x, bottom)], 1, .grid, plot.heatMap == nil ? 1 : 0.25)
      line([Point(x, bottom), Point(x, bottom + 5)], 1.2, .axis)
      text(tick.text, Point(x, bottom + 21), tickSize, .middle, .quiet)
    }
    for (i, series) in plot.series.enumerated() { draw(series, Self.colour(i, plot.series), xAxis, yAxis) }
    for arrow in plot.arrows { draw(arrow, xAxis, yAxis) }
    line([Point(left, top), Point(left, bottom), Point(right, bottom)], 1.4, .axis)

    text(plot.xLabel, Point((left + right) / 2, height - 16), labelSize, .middle, .ink)
    text(plot.yLabel, Point(28, (top + bottom) / 2), labelSize, .middle, .ink, isVertical: true)
  }

  /// A faint series goes with the one after it.
  private static func colour(_ index: Int, _ series: [Plot.Series]) -> Colour {
    let place = series[..<index].reduce(0) { $0 + ($1.style == .faint ? 0 : 1) }
    return Colour.series[place % Colour.series.count]
  }

  /// A row of names under the title, in as many lines as it takes.
  private mutating func legend(size: Double) {
    let named = plot.series.indices.filter { plot.series[$0].style != .faint && !plot.series[$0].name.isEmpty }
    guard named.count > 1 else { return }
    var x = left
    top += 6
    for i in named {
      // A reader's typeface may be wider than ours.
      let wide = 30 + 1.15 * Self.textWidth(plot.series[i].name, size: size) + 18
      if x > left && x + wide > right {
        x = left
        top += 20
      }
      let y = top - Self.capHeight(size) / 2
      let colour = Self.colour(i, plot.series)
      if ![.points, .cloud].contains(plot.series[i].style) { line([Point(x + 1, y), Point(x + 22, y)], 2.6, colour) }
      if plot.series[i].style != .line { marks.append(.dots([Point(x + 11.5, y)], radius: 3.4, colour)) }
      text(plot.series[i].name, Point(x + 29, top), size, .start, .ink)
      x += wide
    }
    top += 16
  }

  /// Adds a mark.
  mutating func add(_ mark: Mark) { marks.append(mark) }

  private mutating func draw(_ series: Plot.Series, _ colour: Colour, _ xAxis: Axis, _ yAxis: Axis) {
    func place(_ x: Double, _ y: Double) -> Point {
      Point(left + xAxis.place(x) * (right - left), bottom - yAxis.place(y) * (bottom - top))
    }
    if !series.spread.isEmpty {
      var band: [(x: Double, low: Double, high: Double)] = []
      for (i, y) in series.y.enumerated() {
        let low = place(series.x[i], y - series.spread[i]).y, high = place(series.x[i], y + series.spread[i])
        guard high.x.isFinite, high.y.isFinite, high.x >= left - 0.01, high.x <= right + 0.01 else { continue }
        // Below zero a logarithm has no place: the band then reaches the floor.
        band.append((high.x, min(max(low.isFinite ? low : bottom, top), bottom), min(max(high.y, top), bottom)))
      }
      if band.count > 1 { marks.append(.band(band, colour, opacity: 0.2)) }
    }
    let points = zip(series.x, series.y).map { place($0, $1) }
    if ![.points, .cloud].contains(series.style) {
      let isFaint = series.style == .faint
      for run in runs(points) {
        line(thinned(run), isFaint ? 1 : 2, colour, isFaint ? 0.3 : 1)
      }
    }
    if [.points, .cloud, .linePoints].contains(series.style) {
      let seen = points.filter {
        $0.x >= left - 0.01 && $0.x <= right + 0.01 && $0.y >= top - 0.01 && $0.y <= bottom + 0.01
      }
      if series.style == .cloud {
        marks.append(.dots(seen, radius: 1.2, colour, opacity: 0.45))
      } else {
        marks.append(.dots(seen, radius: seen.count > 200 ? 1.8 : 3, colour))
      }
    }
  }

  /// The pieces of a line inside the frame, broken where values are missing.
  private func runs(_ points: [Point]) -> [[Point]] {
    var runs: [[Point]] = []
    var run: [Point] = []
    func finish() {
      if !run.isEmpty { runs.append(run) }
      run = []
    }
    var last: Point?
    for point in points {
      guard point.x.isFinite, point.y.isFinite else {
        last = nil
        finish()
        continue
      }
      if let from = last {
        if let (a, b) = clipped(from, point) {
          if run.last != a {
            finish()
            run = [a]
          }
          run.append(b)
          if b != point { finish() }
        } else {
          finish()
        }
      } else if clipped(point, point) != nil {
        run = [point]
      }
      last = point
    }
    finish()
    return runs
  }

  /// The part of a segment inside the frame (Liang and Barsky 1984).
  func clipped(_ a: Point, _ b: Point) -> (Point, Point)? {
    var enter = 0.0, leave = 1.0
    let d = b - a
    for (step, room) in [(-d.x, a.x - left), (d.x, right - a.x), (-d.y, a.y - top), (d.y, bottom - a.y)] {
      let room = room + 1e-6
      if step == 0 {
        if room < 0 { return nil }
      } else if step < 0 {
        enter = max(enter, room / step)
      } else {
        leave = min(leave, room / step)
      }
    }
    guard enter <= leave else { return nil }
    return (enter > 0 ? a + enter * d : a, leave < 1 ? a + leave * d : b)
  }

  /// A long line, with what one column of pixels cannot show left out: its first, lowest, highest and last points remain.
  private func thinned(_ points: [Point]) -> [Point] {
    guard Double(points.count) > 4 * (right - left) else { return points }
    var out: [Point] = []
    var start = 0
    while start < points.count {
      let column = (points[start].x * 2).rounded(.down)
      var end = start
      while end + 1 < points.count, (points[end + 1].x * 2).rounded(.down) == column { end += 1 }
      let range = start...end
      let low = range.min { points[$0].y < points[$1].y } ?? start
      let high = range.max { points[$0].y < points[$1].y } ?? end
      for i in Set([start, low, high, end]).sorted() { out.append(points[i]) }
      start = end + 1
    }
    return out
  }

  mutating func line(_ points: [Point], _ width: Double, _ colour: Colour, _ opacity: Double = 1) {
    marks.append(.line(points, width: width, colour, opacity: opacity))
  }

  mutating func text(
    _ text: String, _ at: Point, _ size: Double, _ anchor: Anchor, _ colour: Colour, isBold: Bool = false,
    isVertical: Bool = false
  ) {
    guard !text.isEmpty else { return }
    marks.append(.text(text, at: at, size: size, anchor, colour, isBold: isBold, isVertical: isVertical))
  }
}
