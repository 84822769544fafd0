import Platform

/// A point of the plane, x to the right and y down.
package struct Point: Hashable, Sendable {
  package var x: Double
  package var y: Double

  package init(_ x: Double, _ y: Double) {
    self.x = x
    self.y = y
  }

  package static func + (a: Point, b: Point) -> Point { Point(a.x + b.x, a.y + b.y) }
  package static func - (a: Point, b: Point) -> Point { Point(a.x - b.x, a.y - b.y) }
  package static func * (s: Double, p: Point) -> Point { Point(s * p.x, s * p.y) }

  package var length: Double { (x * x + y * y).squareRoot() }
  /// The direction, from −π to π.
  package var angle: Double { atan2(y, x) }
}

/// The smallest upright rectangle around points.
package struct Bounds: Sendable {
  package var low: Point
  package var high: Point

  package init?(_ points: some Sequence<Point>) {
    var iterator = points.makeIterator()
    guard let first = iterator.next() else { return nil }
    (low, high) = (first, first)
    while let point = iterator.next() {
      low = Point(min(low.x, point.x), min(low.y, point.y))
      high = Point(max(high.x, point.x), max(high.y, point.y))
    }
  }

  package var width: Double { high.x - low.x }
  package var height: Double { high.y - low.y }
  package var centre: Point { 0.5 * (low + high) }
}
