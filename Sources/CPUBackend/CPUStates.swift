import CKernels
import TensorGraph

/// The states of the CPU backend. Their memory is touched on the engine's thread alone, by any of its backends whatever their options.
public final class CPUStates: States, @unchecked Sendable {
  /// By name.
  public let types: [String: TensorType]
  /// Four bytes an element, allocated or not.
  public let byteCount: Int
  let storages: [String: StateStorage]

  init(for programs: [Program]) throws(ExecutionError) {
    types = try Program.stateTypes(of: programs)
    storages = types.mapValues { StateStorage($0.shape) }
    byteCount = storages.values.reduce(0) { $0 + $1.buffer.byteCount }
  }

  /// In row-major order, whatever the layout here; zeros where nothing was written yet.
  public func read(_ name: String) throws -> TensorData {
    guard let storage = storages[name] else { throw ExecutionError.unknownState(name) }
    return EngineThread.shared.run { storage.read() }
  }

  /// Brings the elements into the engine's layout.
  public func write(_ name: String, _ data: TensorData) throws {
    _ = try type(of: name, accepting: data)
    guard let storage = storages[name] else { throw ExecutionError.unknownState(name) }
    try EngineThread.shared.run { () throws(ExecutionError) in try storage.write(data.floats) }
  }

  // MARK: On the engine's thread

  /// Of `byteCount`, what is allocated already.
  var allocatedByteCount: Int { storages.values.reduce(0) { $0 + ($1.isAllocated ? $1.buffer.byteCount : 0) } }

  func allocate() throws(ExecutionError) {
    for storage in storages.values { try storage.allocate() }
  }
}

/// A persistent tensor in the engine's own layout. It has no memory before it is written or compiled with: then it is zero.
final class StateStorage {
  let shape: Shape
  let layout: Layout
  let buffer: Buffer
  private var memory: AlignedMemory?
  /// Grows with every change, so that what was derived from the state knows when it is stale.
  var version = 0

  init(_ shape: Shape) {
    self.shape = shape
    let fillsBlocks = shape.rank == 4 && shape[0] % Layout.block == 0 && shape[1] % Layout.block == 0
    layout = fillsBlocks ? .blockedKernel : .plain
    buffer = Buffer(byteCount: shape.count * MemoryLayout<Float>.stride, home: .persistent)
  }

  var isAllocated: Bool { memory != nil }

  func allocate() throws(ExecutionError) {
    guard memory == nil else { return }
    let memory = try AlignedMemory(byteCount: buffer.byteCount)
    self.memory = memory
    buffer.address = memory.base
  }

  private var taps: Int { shape[2] * shape[3] }

  func read() -> TensorData {
    guard isAllocated else { return TensorData([Float](repeating: 0, count: shape.count), shape: shape) }
    let floats = [Float](unsafeUninitializedCapacity: shape.count) { target, count in
      if let base = target.baseAddress {
        if layout == .plain {
          base.update(from: buffer.floats, count: shape.count)
        } else {
          ck_weights_to_plain(buffer.floats, base, shape[0], shape[1], taps)
        }
      }
      count = shape.count
    }
    return TensorData(floats, shape: shape)
  }

  func write(_ floats: [Float]) throws(ExecutionError) {
    try allocate()
    version += 1
    if layout == .plain {
      buffer.floats.update(from: floats, count: shape.count)
    } else {
      ck_weights_to_blocked(floats, buffer.floats, shape[0], shape[1], taps)
    }
  }
}
