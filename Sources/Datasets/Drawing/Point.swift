#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A point of the plane, x to the right and y down.
struct Point: Hashable, Sendable {
  var x: Double
  var y: Double

  init(_ x: Double, _ y: Double) {
    self.x = x
    self.y = y
  }

  static func + (a: Point, b: Point) -> Point { Point(a.x + b.x, a.y + b.y) }
  static func - (a: Point, b: Point) -> Point { Point(a.x - b.x, a.y - b.y) }
  static func * (s: Double, p: Point) -> Point { Point(s * p.x, s * p.y) }

  var length: Double { (x * x + y * y).squareRoot() }
  /// The direction, from −π to π.
  var angle: Double { atan2(y, x) }
}

/// The smallest upright rectangle around points.
struct Bounds: Sendable {
  var low: Point
  var high: Point

  init?(_ points: some Sequence<Point>) {
    var iterator = points.makeIterator()
    guard let first = iterator.next() else { return nil }
    (low, high) = (first, first)
    while let point = iterator.next() {
      low = Point(min(low.x, point.x), min(low.y, point.y))
      high = Point(max(high.x, point.x), max(high.y, point.y))
    }
  }

  var width: Double { high.x - low.x }
  var height: Double { high.y - low.y }
  var centre: Point { 0.5 * (low + high) }
}
