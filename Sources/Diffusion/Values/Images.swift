import TensorGraph

/// A batch of images: x_0, x_t, ε or a network's output. On the host, or on a device where arithmetic with it then happens too.
///
/// Scalars lie as [count, channels, height, width], the last index fastest; pixels of data lie in [−1, 1].
public struct Images: Sendable, Equatable {
  /// [count, channels, height, width].
  public struct Shape: Sendable, Hashable, CustomStringConvertible {
    /// N.
    public var count: Int
    /// C.
    public var channels: Int
    /// H.
    public var height: Int
    /// W.
    public var width: Int

    /// [N, C, H, W], each positive but for N, which may be 0.
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

  /// [N, C, H, W].
  public let shape: Shape
  private let storage: Storage

  private enum Storage: Sendable {
    case host([Float])
    case device(DeferredImages)
  }

  /// A batch on the host.
  public init(shape: Shape, scalars: [Float]) {
    precondition(scalars.count == shape.scalarCount, "\(scalars.count) scalars do not fill a batch of \(shape)")
    self.shape = shape
    storage = .host(scalars)
  }

  init(_ deferred: DeferredImages) {
    shape = deferred.shape
    storage = .device(deferred)
  }

  /// The numbers. Those of images on a device are computed and brought here; where that fails they are NaN, and
  /// ``ImageDevice/check()`` tells why.
  public var scalars: [Float] {
    switch storage {
    case .host(let scalars): scalars
    case .device(let images): images.device.read(images)
    }
  }

  public static func == (a: Images, b: Images) -> Bool { a.shape == b.shape && a.scalars == b.scalars }

  /// A batch of one value.
  public init(repeating value: Float, shape: Shape) {
    self.init(shape: shape, scalars: [Float](repeating: value, count: shape.scalarCount))
  }

  /// The batch with the samples of each part in turn; all parts have one sample's shape.
  public init(joining parts: [Images]) {
    precondition(!parts.isEmpty, "no images to join")
    var shape = parts[0].shape
    shape.count = parts.reduce(0) { $0 + $1.shape.count }
    if let device = parts.lazy.compactMap(\.device).first, device.isWhole {
      self.init(DeferredImages(.expression(.joined(parts.map { $0.deferred(on: device) })), shape, on: device))
      return
    }
    self.init(shape: shape, scalars: parts.flatMap(\.scalars))
  }

  /// Where sample `n` lies in `scalars`.
  public func range(ofSample n: Int) -> Range<Int> {
    precondition((0..<shape.count).contains(n), "sample \(n) of a batch of \(shape)")
    return n * shape.dimension..<(n + 1) * shape.dimension
  }

  /// Sample `n`, as a batch of one.
  public subscript(sample n: Int) -> Images {
    samples(n..<n + 1)
  }

  /// Some of the samples.
  public func samples(_ range: Range<Int>) -> Images {
    var part = shape
    part.count = range.count
    if range == 0..<shape.count { return self }
    if let own = ownDeferred, own.device.isWhole {
      return Images(DeferredImages(.expression(.samples(own, range)), part, on: own.device))
    }
    return Images(
      shape: part, scalars: Array(scalars[range.lowerBound * shape.dimension..<range.upperBound * shape.dimension]))
  }

  /// Splits 2C channels into the first C (the prediction) and the last C (what the network says of the variance).
  public func splitChannels() -> (Images, Images) {
    precondition(shape.channels % 2 == 0, "\(shape) has no two halves of channels")
    var half = shape
    half.channels /= 2
    if let own = ownDeferred {
      let parts = [0..<half.channels, half.channels..<shape.channels].map { channels in
        Images(DeferredImages(.expression(.channels(own, channels)), half, on: own.device))
      }
      return (parts[0], parts[1])
    }
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

// MARK: - On a device

extension Images {
  /// Where the images are; nil on the host.
  public var device: ImageDevice? { ownDeferred?.device }

  /// Images that a program left on a device.
  ///
  /// - Parameter tensor: [N, C, H, W].
  package init(_ tensor: any DeviceTensor, shape: Shape, on device: ImageDevice) {
    self.init(DeferredImages(.tensor(tensor), shape, on: device))
  }

  /// N(0, I), drawn on a device.
  init(_ noise: CounterNoise, step: UInt32, shape: Shape, on device: ImageDevice) {
    self.init(DeferredImages(.expression(.noise(noise, step: step)), shape, on: device))
  }

  /// For a program's input: computed on the device where the images are, and otherwise on the host.
  ///
  /// - Throws: what compiling and running throw.
  package func tensor() throws -> any DeviceTensor {
    switch storage {
    case .host: hostData
    case .device(let images): try images.tensor()
    }
  }

  private var hostData: TensorData {
    TensorData(scalars, shape: [shape.count, shape.channels, shape.height, shape.width])
  }

  /// The same images on the host.
  ///
  /// - Throws: what the device failed with.
  package func onHost() throws -> Images {
    switch storage {
    case .host: self
    case .device(let images): Images(shape: shape, scalars: try images.scalars())
    }
  }

  private var ownDeferred: DeferredImages? {
    if case .device(let images) = storage { images } else { nil }
  }

  private func deferred(on device: ImageDevice) -> DeferredImages {
    if let own = ownDeferred, own.device === device { return own }
    return DeferredImages(.tensor(hostData), shape, on: device)
  }

  /// The images made of these by an expression, where they are on a device.
  func deferred(_ expression: (DeferredImages) -> DeferredImages.Expression) -> Images? {
    ownDeferred.map { Images(DeferredImages(.expression(expression($0)), shape, on: $0.device)) }
  }

  /// The images made of two batches by an expression, where either is on a device.
  static func deferred(
    _ a: Images, _ b: Images, _ expression: (DeferredImages, DeferredImages) -> DeferredImages.Expression
  ) -> Images? {
    guard let device = a.device ?? b.device else { return nil }
    let both = expression(a.deferred(on: device), b.deferred(on: device))
    return Images(DeferredImages(.expression(both), a.shape, on: device))
  }
}
