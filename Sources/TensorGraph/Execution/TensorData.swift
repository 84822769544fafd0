/// A tensor where some backend keeps it: what an executable takes and gives, so that results can be inputs again without a way
/// through the host.
public protocol DeviceTensor: Sendable {
  /// Its shape, and of what.
  var type: TensorType { get }
  /// Its numbers, brought to the host.
  func data() throws -> TensorData
}

/// Numbers in row-major order with their shape, in the host's memory.
public struct TensorData: Sendable, Equatable {
  /// The elements, of either type.
  public enum Scalars: Sendable, Equatable {
    /// 32-bit floating point.
    case float([Float])
    /// 32-bit integers.
    case int32([Int32])
  }

  /// Its dimensions, the last the fastest.
  public var shape: Shape
  /// As many as the shape says.
  public var scalars: Scalars

  /// Floating-point numbers in row-major order.
  public init(_ floats: [Float], shape: Shape) {
    precondition(floats.count == shape.count, "\(floats.count) elements do not fill \(shape)")
    self.shape = shape
    scalars = .float(floats)
  }

  /// Integers in row-major order.
  public init(_ integers: [Int32], shape: Shape) {
    precondition(integers.count == shape.count, "\(integers.count) elements do not fill \(shape)")
    self.shape = shape
    scalars = .int32(integers)
  }

  /// A scalar.
  public init(_ float: Float) { self.init([float], shape: .scalar) }

  /// Shape and kind of element.
  public var type: TensorType {
    switch scalars {
    case .float: TensorType(shape, .float)
    case .int32: TensorType(shape, .int32)
    }
  }

  /// The elements as floating point.
  public var floats: [Float] {
    switch scalars {
    case .float(let floats): floats
    case .int32(let integers): integers.map(Float.init)
    }
  }
}

extension TensorData: DeviceTensor {
  /// Itself: it is on the host.
  public func data() -> TensorData { self }
}
