import CKernels
import TensorGraph

/// The states of the CPU backend. Their memory is touched on the engine's thread alone, by any of its backends whatever their options.
public final class CPUStates: States, @unchecked Sendable {
  /// By name.
  public let types: [String: TensorType]
  /// Four bytes an element, or two of those that are rounded, allocated or not.
  public let byteCount: Int
  let storages: [String: StateStorage]

  /// - Parameter rounds: whether convolutions round their operands: kernels that no program changes are rounded once, as they are written.
  init(for programs: [Program], rounds: Bool) throws(ExecutionError) {
    types = try Program.stateTypes(of: programs)
    let changing = Set(programs.flatMap { $0.updates.map(\.name) })
    var storages: [String: StateStorage] = [:]
    for (name, type) in types { storages[name] = StateStorage(type.shape, rounds: rounds && !changing.contains(name)) }
    self.storages = storages
    byteCount = storages.values.reduce(0) { $0 + $1.buffer.byteCount }
  }

  /// In row-major order, whatever the layout here, and as it was rounded; zeros where nothing was written yet.
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

  /// Checks that `program` has its states here, and changes none that is rounded.
  func checkChanges(by program: Program) throws(ExecutionError) {
    try check(program)
    for update in program.updates where storages[update.name]?.layout == .roundedKernel {
      throw .roundedState(update.name)
    }
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

  init(_ shape: Shape, rounds: Bool) {
    self.shape = shape
    let fillsBlocks = shape.rank == 4 && shape[0] % Layout.block == 0 && shape[1] % Layout.block == 0
    layout = !fillsBlocks ? .plain : rounds ? .roundedKernel : .blockedKernel
    let element = layout == .roundedKernel ? MemoryLayout<UInt16>.stride : MemoryLayout<Float>.stride
    buffer = Buffer(byteCount: shape.count * element, home: .persistent)
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
    switch layout {
    case .blockedKernel: return TensorData(plain(buffer.floats), shape: shape)
    case .roundedKernel:
      let blocked = filled { ck_widen_pairs(buffer.words, $0, shape.count / 32) }
      return TensorData(plain(blocked), shape: shape)
    case .plain, .blocked:
      return TensorData(filled { $0.update(from: buffer.floats, count: shape.count) }, shape: shape)
    }
  }

  private func plain(_ blocked: UnsafePointer<Float>) -> [Float] {
    filled { ck_weights_to_plain(blocked, $0, shape[0], shape[1], taps) }
  }

  /// As many numbers as the shape says, which `write` writes.
  private func filled(_ write: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
    [Float](unsafeUninitializedCapacity: shape.count) { target, count in
      if let base = target.baseAddress { write(base) }
      count = shape.count
    }
  }

  func write(_ floats: [Float]) throws(ExecutionError) {
    try allocate()
    version += 1
    switch layout {
    case .blockedKernel: ck_weights_to_blocked(floats, buffer.floats, shape[0], shape[1], taps)
    case .roundedKernel:
      let blocked = filled { ck_weights_to_blocked(floats, $0, shape[0], shape[1], taps) }
      ck_round_pairs(blocked, buffer.words, shape.count / 32)
    case .plain, .blocked: buffer.floats.update(from: floats, count: shape.count)
    }
  }
}
