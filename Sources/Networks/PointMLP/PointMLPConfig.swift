import TensorGraph

/// What a network for points of ℝᵈ is made of: a few residual layers, each told the time.
public struct PointMLPConfig: Architecture, Equatable {
  /// d: a point is a sample of d channels and one pixel.
  public var dimension = 2
  /// Numbers between the layers.
  public var width = 128
  /// Residual layers.
  public var layers = 4
  /// Rows of the class table; nil for a network without classes.
  public var classRows: Int?
  /// Whether the output says the variance too, in as many numbers again.
  public var learnsVariance = false

  /// - Parameter dimension: d.
  public init(dimension: Int = 2) { self.dimension = dimension }

  /// d.
  public var channels: Int { dimension }
  /// d, or 2d where the variance is learned.
  public var outChannels: Int { learnsVariance ? 2 * dimension : dimension }
  /// One pixel: the coordinates of a point are its channels.
  public var sampleSize: SampleSize? { SampleSize(height: 1, width: 1) }

  /// - Throws: ``NetworkConfigError`` unless samples are points.
  public func validate(height: Int, width: Int) throws(NetworkConfigError) {
    guard height == 1, width == 1 else {
      throw NetworkConfigError("a network for points takes samples of 1×1, not of \(height)×\(width)")
    }
  }

  /// - Throws: ``NetworkConfigError`` naming a number that makes no network.
  public func declare(in builder: GraphBuilder, prefix: String) throws -> any Network {
    for (key, value, most) in [
      ("dimension", dimension, 1 << 16), ("width", width, 1 << 16), ("layers", layers, 1 << 10),
    ]
    where !(1...most).contains(value) {
      throw NetworkConfigError("\(key) is \(value); it must be 1…\(most)")
    }
    if let classRows, !(1...1 << 20).contains(classRows) {
      throw NetworkConfigError("num_class_embeds is \(classRows); it must be 1…\(1 << 20)")
    }
    return PointMLP(self, ParameterScope(.init(builder: builder, prefix: prefix)))
  }
}
