import Platform

extension Plot {
  /// A function of the plane on a grid of cells, as colours with a scale beside it.
  public struct HeatMap: Sendable {
    /// The colours from the lowest value to the highest.
    public enum Palette: Sendable {
      /// From dark to bright: for a map that stands for itself.
      case viridis
      /// From white to grey: to go behind points and arrows.
      case pale
    }

    /// `values[row · columns + column]`, rows from low y to high; what is not finite takes the lowest colour.
    public var values: [Double]
    /// Cells from left to right.
    public var columns: Int
    /// Cells from bottom to top.
    public var rows: Int
    /// What the cells cover together.
    public var x: ClosedRange<Double>
    /// From the lower edge of the lowest cells to the upper one of the highest.
    public var y: ClosedRange<Double>
    /// What the colours show.
    public var label: String
    /// The values of the ends of the colours; nil fits them.
    public var range: ClosedRange<Double>?
    /// Viridis unless told.
    public var palette: Palette

    /// A function sampled at the middle of each cell.
    public init(
      _ label: String, x: ClosedRange<Double>, y: ClosedRange<Double>, columns: Int = 100, rows: Int = 100,
      range: ClosedRange<Double>? = nil, palette: Palette = .viridis, value: (_ x: Double, _ y: Double) throws -> Double
    ) rethrows {
      precondition(columns > 0 && rows > 0, "a heat map of \(columns)×\(rows) cells")
      (self.label, self.x, self.y, self.columns, self.rows) = (label, x, y, columns, rows)
      (self.range, self.palette) = (range, palette)
      values = []
      values.reserveCapacity(columns * rows)
      for row in 0..<rows {
        for column in 0..<columns {
          values.append(
            try value(Self.middle(of: column, columns, x), Self.middle(of: row, rows, y)))
        }
      }
    }

    /// The middle of a cell.
    static func middle(of cell: Int, _ count: Int, _ range: ClosedRange<Double>) -> Double {
      range.lowerBound + (range.upperBound - range.lowerBound) * (Double(cell) + 0.5) / Double(count)
    }
  }

  /// A vector, drawn from its place, in the axes' units.
  public struct Arrow: Sendable, Equatable {
    /// Where it starts.
    public var x: Double
    /// Where it starts.
    public var y: Double
    /// How far it reaches, to the right.
    public var dx: Double
    /// How far it reaches, upwards.
    public var dy: Double

    /// In the axes' units.
    public init(x: Double, y: Double, dx: Double, dy: Double) {
      (self.x, self.y, self.dx, self.dy) = (x, y, dx, dy)
    }
  }

  /// A field of vectors on a grid of places, scaled together so that the longest just spans a cell.
  public static func vectorField(
    x: ClosedRange<Double>, y: ClosedRange<Double>, columns: Int = 20, rows: Int = 20,
    _ field: (_ x: Double, _ y: Double) throws -> (Double, Double)
  ) rethrows -> [Arrow] {
    precondition(columns > 0 && rows > 0, "a field of \(columns)×\(rows) arrows")
    var arrows: [Arrow] = []
    for row in 0..<rows {
      for column in 0..<columns {
        let place = (HeatMap.middle(of: column, columns, x), HeatMap.middle(of: row, rows, y))
        let (dx, dy) = try field(place.0, place.1)
        if dx.isFinite && dy.isFinite { arrows.append(Arrow(x: place.0, y: place.1, dx: dx, dy: dy)) }
      }
    }
    let cell = min(
      (x.upperBound - x.lowerBound) / Double(columns), (y.upperBound - y.lowerBound) / Double(rows))
    let longest = arrows.map { ($0.dx * $0.dx + $0.dy * $0.dy).squareRoot() }.max() ?? 0
    let scale = longest > 0 ? 0.95 * cell / longest : 0
    return arrows.map { Arrow(x: $0.x, y: $0.y, dx: scale * $0.dx, dy: scale * $0.dy) }
  }

  /// What the axes must hold beside the series.
  var planeValues: (x: [Double], y: [Double]) {
    (arrows.flatMap { [$0.x, $0.x + $0.dx] }, arrows.flatMap { [$0.y, $0.y + $0.dy] })
  }
}

extension PlotScene {
  static let colourBarWidth = 86.0

  /// Widens the axis that has room, until a unit is as long on both.
  mutating func equalise(_ xAxis: inout Axis, _ yAxis: inout Axis) {
    let unit = max((xAxis.high - xAxis.low) / (right - left), (yAxis.high - yAxis.low) / (bottom - top))
    func widened(_ axis: Axis, _ length: Double, _ wanted: Int) -> Axis {
      let (middle, half) = (0.5 * (axis.low + axis.high), 0.5 * unit * length)
      return Axis(values: [], fixed: middle - half...middle + half, scale: .linear, wanted: wanted, pads: false)
    }
    xAxis = widened(xAxis, right - left, max(3, plot.width / 110))
    yAxis = widened(yAxis, bottom - top, max(3, plot.height / 75))
  }

  /// The cells, and a scale of their colours to the right.
  mutating func draw(_ map: Plot.HeatMap, _ xAxis: Axis, _ yAxis: Axis, tickSize: Double) {
    let scale = Axis(
      values: map.values.filter(\.isFinite), fixed: map.range, scale: .linear, wanted: max(3, plot.height / 90),
      pads: false)
    func picture(_ width: Int, _ height: Int, _ value: (Int, Int) -> Double) -> Image8 {
      var image = Image8(width: width, height: height, channels: 3)
      for y in 0..<height {
        for x in 0..<width {
          let colour = Self.mapped(scale.place(value(x, y)), map.palette)
          (image[x, y, 0], image[x, y, 1], image[x, y, 2]) = (colour.red, colour.green, colour.blue)
        }
      }
      return image
    }
    // Rows of pictures go down. What lies outside the axes is left out.
    let (columns, rows) = (map.columns, map.rows)
    func place(_ x: Double, _ y: Double) -> Point {
      Point(left + xAxis.place(x) * (right - left), bottom - yAxis.place(y) * (bottom - top))
    }
    let (from, to) = (place(map.x.lowerBound, map.y.upperBound), place(map.x.upperBound, map.y.lowerBound))
    let (cell, slack) = (Point((to.x - from.x) / Double(columns), (to.y - from.y) / Double(rows)), 1e-6)
    let inX = (0..<columns).filter {
      from.x + cell.x * Double($0) >= left - slack && from.x + cell.x * Double($0 + 1) <= right + slack
    }
    let inY = (0..<rows).filter {
      from.y + cell.y * Double($0) >= top - slack && from.y + cell.y * Double($0 + 1) <= bottom + slack
    }
    if let x = inX.first, let y = inY.first {
      add(
        .picture(
          picture(inX.count, inY.count) { map.values[(rows - 1 - (y + $1)) * columns + x + $0] },
          from: Point(from.x + cell.x * Double(x), from.y + cell.y * Double(y)),
          to: Point(from.x + cell.x * Double(x + inX.count), from.y + cell.y * Double(y + inY.count))))
    }

    let (low, high) = (right + 16, right + 30)
    add(
      .picture(
        picture(1, 64) { _, y in scale.low + (scale.high - scale.low) * (1 - (Double(y) + 0.5) / 64) },
        from: Point(low, top), to: Point(high, bottom)))
    for tick in scale.ticks {
      let y = bottom - scale.place(tick.value) * (bottom - top)
      line([Point(high, y), Point(high + 4, y)], 1.2, .axis)
      text(tick.text, Point(high + 8, y + Self.capHeight(tickSize) / 2), tickSize, .start, .quiet)
    }
    text(map.label, Point(high, top - 10), tickSize, .end, .ink)
  }

  mutating func draw(_ arrow: Plot.Arrow, _ xAxis: Axis, _ yAxis: Axis) {
    func place(_ x: Double, _ y: Double) -> Point {
      Point(left + xAxis.place(x) * (right - left), bottom - yAxis.place(y) * (bottom - top))
    }
    let (from, to) = (place(arrow.x, arrow.y), place(arrow.x + arrow.dx, arrow.y + arrow.dy))
    guard let inside = clipped(from, to), inside == (from, to) else { return }
    let colour: Colour = plot.heatMap?.palette == .viridis ? .card : .ink
    line([from, to], 1.2, colour, 0.8)
    let along = to - from
    let head = min(0.4 * along.length, 5)
    guard along.length > 0.5 else { return }
    for turn in [2.6, -2.6] {
      let angle = along.angle + turn
      line([to, to + head * Point(cos(angle), sin(angle))], 1.2, colour, 0.8)
    }
  }

  /// The colour of a place in [0, 1]: nine of viridis (van der Walt & Smith 2015), even to the eye, and straight lines between them.
  package static func mapped(_ place: Double, _ palette: Plot.HeatMap.Palette = .viridis) -> Colour {
    let anchors: [UInt32] =
      switch palette {
      case .viridis: [0x440154, 0x472D7B, 0x3B528B, 0x2C728E, 0x21918C, 0x28AE80, 0x5EC962, 0xADDC30, 0xFDE725]
      case .pale: [0xFFFFFF, 0x8D94A0]
      }
    let at = (place.isFinite ? min(max(place, 0), 1) : 0) * Double(anchors.count - 1)
    let i = min(Int(at), anchors.count - 2), t = at - Double(i)
    let mix = { (shift: UInt32) -> UInt32 in
      let (a, b) = (Double(anchors[i] >> shift & 255), Double(anchors[i + 1] >> shift & 255))
      return UInt32((a + t * (b - a)).rounded()) << shift
    }
    return Colour(mix(16) | mix(8) | mix(0))
  }
}
