/// The middle square of a picture that comes row by row, at `side` × `side`.
///
/// The same bytes as `converted(channels:)` and `centreSquare(side:)` give. Rows are filtered as they come, so that of the whole
/// picture only `side` pixels a row are kept until the columns are filtered.
struct SquareReducer {
  private let from: Int, channels: Int, side: Int
  /// The square's edge in the source, and its top left corner.
  private let edge: Int, left: Int, top: Int
  /// Nil where rows already have the width wanted.
  private let taps: Taps?
  private var y = 0
  private var kept: [UInt8] = []

  init(width: Int, height: Int, from: Int, to channels: Int, side: Int, filter: Image8.Filter = .lanczos) {
    (self.from, self.channels, self.side) = (from, channels, side)
    edge = min(width, height)
    (left, top) = ((width - edge) / 2, (height - edge) / 2)
    taps = edge == side ? nil : Taps(from: edge, to: side, filter)
    kept.reserveCapacity(edge * side * channels)
    self.filter = filter
  }

  private let filter: Image8.Filter

  /// Takes the next row, of all the picture's pixels.
  mutating func add(_ row: UnsafeBufferPointer<UInt8>) {
    defer { y += 1 }
    guard (top..<top + edge).contains(y) else { return }
    let part = UnsafeBufferPointer(rebasing: row[left * from..<(left + edge) * from])
    if from == channels { return keep(part) }
    Image8(width: edge, height: 1, channels: from, bytes: Array(part)).converted(channels: channels).bytes
      .withUnsafeBufferPointer { keep($0) }
  }

  private mutating func keep(_ row: UnsafeBufferPointer<UInt8>) {
    guard let taps else { return kept.append(contentsOf: row) }
    let (start, channels) = (kept.count, channels)
    kept.append(contentsOf: repeatElement(0, count: side * channels))
    kept.withUnsafeMutableBufferPointer {
      taps.filterRow(row, channels: channels, into: UnsafeMutableBufferPointer(rebasing: $0[start...]))
    }
  }

  /// The square, once all rows were added.
  var result: Image8 {
    precondition(kept.count == edge * side * channels, "\(y) rows do not reach the end of the square")
    return Image8(width: side, height: edge, channels: channels, bytes: kept)
      .resized(width: side, height: side, filter: filter)
  }
}
