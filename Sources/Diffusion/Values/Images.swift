/// A batch of images on the host: x_0, x_t, ε or a network's output.
///
/// Scalars lie as [count, channels, height, width], the last index fastest; pixels of data lie in [−1, 1].
public struct Images: Sendable, Equatable {
  /// [count, channels, height, width].
  public struct Shape: Sendable, Hashable, CustomStringConvertible {
    public var count: Int
    public var channels: Int
    public var height: Int
    public var width: Int

    public init(_ count: Int, _ channels: Int, _ height: Int, _ width: Int) {
      precondition(
        count >= 0 && channels > 0 && height > 0 && width > 0,
        "an image batch needs positive sizes, not [\(count), \(channels), \(height), \(width)]")
      self.count = count
      self.channels = channels
      self.height = height
      self.width = width
    }

    /// Scalars in one sample: its dimension, in the sense of bits/dim.
    public var dimension: Int { channels * height * width }
    /// Scalars in the whole batch.
    public var scalarCount: Int { count * dimension }
    public var description: String { "[\(count), \(channels), \(height), \(width)]" }
  }

  public let shape: Shape
  public let scalars: [Float]

  public init(shape: Shape, scalars: [Float]) {
    precondition(scalars.count == shape.scalarCount, "\(scalars.count) scalars do not fill a batch of \(shape)")
    self.shape = shape
    self.scalars = scalars
  }

  public init(repeating value: Float, shape: Shape) {
    self.init(shape: shape, scalars: [Float](repeating: value, count: shape.scalarCount))
  }

  /// The batch with the samples of each part in turn; all parts have one sample's shape.
  public init(joining parts: [Images]) {
    precondition(!parts.isEmpty, "no images to join")
    var shape = parts[0].shape
    shape.count = parts.reduce(0) { $0 + $1.shape.count }
    self.init(shape: shape, scalars: parts.flatMap(\.scalars))
  }

  /// Where sample `n` lies in `scalars`.
  public func range(ofSample n: Int) -> Range<Int> {
    precondition((0..<shape.count).contains(n), "sample \(n) of a batch of \(shape)")
    return n * shape.dimension..<(n + 1) * shape.dimension
  }

  /// Sample `n`, as a batch of one.
  public subscript(sample n: Int) -> Images {
    var one = shape
    one.count = 1
    return Images(shape: one, scalars: Array(scalars[range(ofSample: n)]))
  }

  /// Some of the samples.
  public func samples(_ range: Range<Int>) -> Images {
    var part = shape
    part.count = range.count
    return Images(
      shape: part, scalars: Array(scalars[range.lowerBound * shape.dimension..<range.upperBound * shape.dimension]))
  }

  /// Splits 2C channels into the first C (the prediction) and the last C (what the network says of the variance).
  public func splitChannels() -> (Images, Images) {
    precondition(shape.channels % 2 == 0, "\(shape) has no two halves of channels")
    var half = shape
    half.channels /= 2
    let size = half.dimension
    var first: [Float] = []
    var second: [Float] = []
    first.reserveCapacity(half.scalarCount)
    second.reserveCapacity(half.scalarCount)
    for n in 0..<shape.count {
      let start = n * shape.dimension
      first += scalars[start..<start + size]
      second += scalars[start + size..<start + 2 * size]
    }
    return (Images(shape: half, scalars: first), Images(shape: half, scalars: second))
  }
}
