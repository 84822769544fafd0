extension Plot {
  /// The plot as pixels, ``pixelsPerPoint`` for each point.
  public func image() -> Image8 {
    let scene = PlotScene(self)
    let scale = pixelsPerPoint
    var canvas = Canvas(width: Int(scene.width * scale), height: Int(scene.height * scale))
    func pixels(_ points: some Sequence<Point>) -> [Point] { points.map { scale * $0 } }

    let corner = Point(scene.width, scene.height)
    let edge = [Point(0.5, 0.5), Point(corner.x - 0.5, 0.5), corner - Point(0.5, 0.5), Point(0.5, corner.y - 0.5)]
    canvas.stroke([pixels(edge + edge.prefix(1))], width: scale, .border)
    for mark in scene.marks {
      switch mark {
      case .line(let points, let width, let colour, let opacity):
        canvas.stroke([pixels(points)], width: width * scale, colour, opacity: opacity)
      case .dots(let points, let radius, let colour, let opacity):
        for point in pixels(points) { canvas.stroke([[point]], width: 2 * radius * scale, colour, opacity: opacity) }
      case .picture(let image, let from, let to):
        canvas.fill(image, from: scale * from, to: scale * to)
      case .band(let band, let colour, let opacity):
        canvas.fill(band.map { (scale * $0.x, scale * $0.low, scale * $0.high) }, colour, opacity: opacity)
      case .text(let text, let at, let size, let anchor, let colour, let isBold, let isVertical):
        let unit = PlotScene.capHeight(size) / 100
        let shift = PlotScene.textWidth(text, size: size) * (anchor == .start ? 0 : (anchor == .middle ? 0.5 : 1))
        let strokes = StrokeFont.strokes(of: text).map { stroke in
          stroke.map { point in
            // The baseline lies at 100 units.
            let p = Point(unit * point.x - shift, unit * (point.y - 100))
            return scale * (at + (isVertical ? Point(p.y, -p.x) : p))
          }
        }
        canvas.stroke(strokes, width: size * (isBold ? 0.125 : 0.085) * scale, colour)
      }
    }
    return canvas.image
  }
}

/// A picture to draw on.
struct Canvas {
  private(set) var image: Image8

  init(width: Int, height: Int) {
    image = Image8(width: width, height: height, channels: 3, fill: 255)
  }

  /// Draws lines, all together: where they overlap, nothing is drawn twice.
  mutating func stroke(_ lines: [[Point]], width: Double, _ colour: PlotScene.Colour, opacity: Double = 1) {
    guard let bounds = Bounds(lines.joined()) else { return }
    var mask = Coverage(around: bounds, radius: width / 2, within: image.width, image.height)
    for line in lines { mask.polyline(line, radius: width / 2) }
    for row in 0..<mask.height {
      for column in 0..<mask.width {
        let coverage = Double(mask.values[row * mask.width + column])
        if coverage > 0 { blend(mask.x + column, mask.y + row, colour, coverage * opacity) }
      }
    }
  }

  /// Fills between two lines, column by column.
  mutating func fill(
    _ band: [(x: Double, low: Double, high: Double)], _ colour: PlotScene.Colour, opacity: Double
  ) {
    for (one, other) in zip(band, band.dropFirst()) where one.x != other.x {
      // Whichever way the band runs.
      let (a, b) = one.x < other.x ? (one, other) : (other, one)
      for column in max(0, Int(a.x.rounded()))..<max(0, min(image.width, Int(b.x.rounded()))) {
        let t = min(max((Double(column) + 0.5 - a.x) / (b.x - a.x), 0), 1)
        let top = a.high + t * (b.high - a.high), bottom = a.low + t * (b.low - a.low)
        for row in max(0, Int(top))..<max(0, min(image.height, Int(bottom) + 1)) {
          let covered = min(bottom, Double(row + 1)) - max(top, Double(row))
          if covered > 0 { blend(column, row, colour, covered * opacity) }
        }
      }
    }
  }

  /// Lays a picture over a rectangle, each of its pixels a rectangle of its own.
  mutating func fill(_ picture: Image8, from: Point, to: Point) {
    let picture = picture.converted(channels: 3)
    for y in max(0, Int(from.y.rounded()))..<max(0, min(image.height, Int(to.y.rounded()))) {
      let row = min(
        max(Int((Double(y) + 0.5 - from.y) / (to.y - from.y) * Double(picture.height)), 0), picture.height - 1)
      for x in max(0, Int(from.x.rounded()))..<max(0, min(image.width, Int(to.x.rounded()))) {
        let column = Int((Double(x) + 0.5 - from.x) / (to.x - from.x) * Double(picture.width))
        for c in 0..<3 { image[x, y, c] = picture[min(max(column, 0), picture.width - 1), row, c] }
      }
    }
  }

  private mutating func blend(_ x: Int, _ y: Int, _ colour: PlotScene.Colour, _ alpha: Double) {
    for (c, value) in [colour.red, colour.green, colour.blue].enumerated() {
      let old = Double(image[x, y, c])
      image[x, y, c] = UInt8((old + alpha * (Double(value) - old)).rounded())
    }
  }
}
