/// The dimensions of a tensor, outermost first. Images are (N, C, H, W).
public struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
  /// Outermost first.
  public var dimensions: [Int]

  /// Not checked: see ``isReasonable``.
  public init(_ dimensions: [Int]) { self.dimensions = dimensions }
  public init(arrayLiteral elements: Int...) { dimensions = elements }

  /// The shape of a scalar: no dimensions, one element.
  public static let scalar = Shape([])

  /// The number of dimensions; 0 for a scalar.
  public var rank: Int { dimensions.count }
  /// The number of elements.
  public var count: Int { dimensions.reduce(1, *) }

  /// The size along an axis, counted from 0; negative axes do not count from the end.
  public subscript(axis: Int) -> Int {
    get { dimensions[axis] }
    set { dimensions[axis] = newValue }
  }

  /// How many elements lie between neighbours along each axis, in row-major order.
  public var strides: [Int] {
    var strides = [Int](repeating: 1, count: rank)
    for axis in stride(from: rank - 2, through: 0, by: -1) { strides[axis] = strides[axis + 1] * dimensions[axis + 1] }
    return strides
  }

  public var description: String { "[\(dimensions.map(String.init).joined(separator: ", "))]" }

  /// The largest number of elements that a tensor may have: 2³¹, far beyond any image batch that fits in memory.
  public static let maximumCount = 1 << 31

  /// Whether every dimension is positive and the element count stays within `maximumCount`.
  public var isReasonable: Bool {
    var count = 1
    for dimension in dimensions {
      guard dimension > 0 else { return false }
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard !overflow, product <= Shape.maximumCount else { return false }
      count = product
    }
    return true
  }

  /// The shape that both broadcast to by NumPy's rule: aligned at the last axis, a dimension of 1 stretches.
  public func broadcast(with other: Shape) -> Shape? {
    let rank = max(self.rank, other.rank)
    var result = [Int](repeating: 1, count: rank)
    for axis in 0..<rank {
      let a = axis - (rank - self.rank) >= 0 ? self[axis - (rank - self.rank)] : 1
      let b = axis - (rank - other.rank) >= 0 ? other[axis - (rank - other.rank)] : 1
      guard a == b || a == 1 || b == 1 else { return nil }
      result[axis] = a == 1 ? b : a
    }
    return Shape(result)
  }

  /// The strides with which a tensor of this shape is read when broadcast to `target`: 0 along stretched axes.
  public func broadcastStrides(to target: Shape) -> [Int] {
    let own = strides
    return (0..<target.rank).map { axis in
      let mine = axis - (target.rank - rank)
      return mine < 0 || self[mine] == 1 ? 0 : own[mine]
    }
  }
}

/// What the elements of a tensor are.
public enum DType: String, Hashable, Sendable {
  /// 32-bit floating point; the reference backend computes it in 64 bits.
  case float
  /// 32-bit integers: timesteps, labels, counters of the random generator.
  case int32
}

/// Shape and element type: all that is known of a tensor when the program is built.
public struct TensorType: Hashable, Sendable, CustomStringConvertible {
  /// Its dimensions.
  public var shape: Shape
  /// What its elements are.
  public var dtype: DType

  /// Floating point unless told.
  public init(_ shape: Shape, _ dtype: DType = .float) {
    self.shape = shape
    self.dtype = dtype
  }

  /// With `count` times the rows; a scalar has none.
  package func repeated(_ count: Int) -> TensorType {
    var result = self
    if shape.rank > 0 { result.shape[0] *= count }
    return result
  }

  public var description: String { dtype == .float ? shape.description : "\(dtype)\(shape)" }
}
