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

extension TensorData {
  /// What one of several devices gets of it, whose program takes an input of `type`: its own rows, or all where there are no more.
  package func share(of device: Int, _ type: TensorType) -> TensorData {
    guard self.type != type else { return self }
    let range = device * type.shape.count..<(device + 1) * type.shape.count
    switch scalars {
    case .float(let floats): return TensorData(Array(floats[range]), shape: type.shape)
    case .int32(let integers): return TensorData(Array(integers[range]), shape: type.shape)
    }
  }

  /// The rows of all devices, one after the other; of scalars the first.
  package init(joining shares: [TensorData]) {
    self = shares[0]
    guard shares.count > 1, shape.rank > 0 else { return }
    shape[0] *= shares.count
    switch scalars {
    case .float: scalars = .float(shares.flatMap(\.floats))
    case .int32: scalars = .int32(shares.flatMap(\.integers))
    }
  }

  private var integers: [Int32] {
    if case .int32(let integers) = scalars { integers } else { [] }
  }
}
