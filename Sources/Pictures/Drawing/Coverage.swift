/// How much of each pixel a stroke covers: antialiased lines with round ends, drawn from their distance to the pixel's centre.
///
/// Overlapping segments of one stroke take the larger coverage, so that joints do not show.
package struct Coverage: Sendable {
  /// The pixel of the picture under the mask's first.
  package let x: Int
  package let y: Int
  package let width: Int
  package let height: Int
  /// 0…1, row by row.
  package private(set) var values: [Float]

  package init(x: Int = 0, y: Int = 0, width: Int, height: Int) {
    (self.x, self.y, self.width, self.height) = (x, y, max(0, width), max(0, height))
    values = .init(repeating: 0, count: self.width * self.height)
  }

  /// A mask just large enough for points drawn with `radius`, within a picture of `width` × `height`.
  init(around bounds: Bounds, radius: Double, within width: Int, _ height: Int) {
    func pixel(_ value: Double, _ limit: Int) -> Int { Int(min(max(value, 0), Double(limit)).rounded(.down)) }
    let left = pixel(bounds.low.x - radius - 1, width), top = pixel(bounds.low.y - radius - 1, height)
    let right = pixel(bounds.high.x + radius + 2, width), bottom = pixel(bounds.high.y + radius + 2, height)
    self.init(x: left, y: top, width: right - left, height: bottom - top)
  }

  /// Draws the segment from `a` to `b`, `2 · radius` wide.
  package mutating func line(_ a: Point, _ b: Point, radius: Double) {
    let reach = radius + 1
    func cell(_ value: Double, _ limit: Int) -> Int { Int(min(max(value, 0), Double(limit))) }
    let left = cell(min(a.x, b.x) - reach - Double(x), width),
      right = cell(max(a.x, b.x) + reach + 1 - Double(x), width)
    let top = cell(min(a.y, b.y) - reach - Double(y), height)
    let bottom = cell(max(a.y, b.y) + reach + 1 - Double(y), height)
    guard left < right, top < bottom else { return }
    let along = b - a
    let squared = along.x * along.x + along.y * along.y
    // A line thinner than a pixel is drawn a pixel wide, and fainter.
    let faintness = min(1, 2 * radius)
    let edge = max(radius, 0.5) + 0.5
    values.withUnsafeMutableBufferPointer { values in
      for row in top..<bottom {
        let py = Double(row + y) + 0.5 - a.y
        for column in left..<right {
          let px = Double(column + x) + 0.5 - a.x
          let t = squared > 0 ? min(max((px * along.x + py * along.y) / squared, 0), 1) : 0
          let dx = px - t * along.x, dy = py - t * along.y
          let inside = edge - (dx * dx + dy * dy).squareRoot()
          guard inside > 0 else { continue }
          let coverage = Float(min(inside, 1) * faintness)
          let at = row * width + column
          if coverage > values[at] { values[at] = coverage }
        }
      }
    }
  }

  /// Draws connected segments; a single point becomes a dot.
  mutating func polyline(_ points: some Collection<Point>, radius: Double) {
    guard let first = points.first else { return }
    if points.count == 1 { line(first, first, radius: radius) }
    for (a, b) in zip(points, points.dropFirst()) { line(a, b, radius: radius) }
  }
}
