import CDNNL
import CKernels
import TensorGraph

/// A compiled program: its steps, and the memory in which they work.
public final class CPUExecutable: Executable {
  public let program: Program
  public let memoryPlan: MemoryPlan
  /// The time of every step so far, where the backend profiles.
  public private(set) var profile: Profile?

  private let options: CPUBackend.Options
  private let steps: [Step]
  private let states: [String: StateStorage]
  private let exchange: Exchange
  private let arena: AlignedMemory
  private let scratch: AlignedMemory
  private let constants: [AlignedMemory]

  init(_ program: Program, _ options: CPUBackend.Options, sharing other: CPUExecutable?) throws {
    self.program = program
    self.options = options
    var states: [String: StateStorage] = [:]
    for state in program.states {
      let shape = program.types[state.value].shape
      states[state.name] = other?.states[state.name].flatMap { $0.shape == shape ? $0 : nil } ?? StateStorage(shape)
    }
    self.states = states
    exchange = Exchange()

    let tuner = Tuner(options)
    let lowering = Lowering(program, options: options, tuner: tuner, states: states, exchange: exchange)
    try lowering.lower()
    tuner.save()
    steps = lowering.steps

    let planner = MemoryPlanner(steps)
    let owned = states.values.filter { $0.memory == nil }
    memoryPlan = MemoryPlan(
      states: states.values.reduce(0) { $0 + $1.buffer.byteCount },
      sharedStates: states.values.reduce(0) { $0 + ($1.memory?.byteCount ?? 0) },
      prepared: lowering.constants.reduce(0) { $0 + $1.byteCount }, activations: planner.arenaByteCount,
      unsharedActivations: planner.unsharedByteCount, scratch: planner.scratchByteCount)
    let (needed, available) = (memoryPlan.total, AlignedMemory.availableByteCount)
    guard needed <= available else { throw ExecutionError.outOfMemory(needed: needed, available: available) }

    for state in owned { try state.allocate() }
    constants = try lowering.constants.map { buffer in
      let memory = try AlignedMemory(byteCount: buffer.byteCount)
      buffer.address = memory.base
      return memory
    }
    for (buffer, scalars) in exchange.constants { buffer.floats.update(from: scalars, count: scalars.count) }
    exchange.constants = []
    arena = try AlignedMemory(byteCount: planner.arenaByteCount)
    scratch = try AlignedMemory(byteCount: planner.scratchByteCount)
    planner.assign(base: arena.base)
    if options.profiles { profile = Profile(steps) }
  }

  public func run(_ inputs: [String: TensorData]) throws -> [String: TensorData] {
    try check(inputs)
    return try EngineThread.shared.run { [self] () throws -> [String: TensorData] in
      options.apply()
      exchange.inputs = inputs
      exchange.outputs = [:]
      defer {
        exchange.inputs = [:]
        exchange.outputs = [:]
      }
      if profile == nil {
        for step in steps { try step.run(scratch.base) }
      } else {
        for (index, step) in steps.enumerated() {
          let start = monotonicSeconds()
          try step.run(scratch.base)
          profile?.record(index, start: start, end: monotonicSeconds())
        }
      }
      return exchange.outputs
    }
  }

  public func read(_ state: String) throws -> TensorData {
    guard let storage = states[state] else { throw ExecutionError.unknownState(state) }
    return EngineThread.shared.run { storage.read() }
  }

  public func write(_ state: String, _ data: TensorData) throws {
    guard let storage = states[state] else { throw ExecutionError.unknownState(state) }
    let expected = TensorType(storage.shape)
    guard data.type == expected else {
      throw ExecutionError.wrongType(name: state, expected: expected, found: data.type)
    }
    EngineThread.shared.run { storage.write(data.floats) }
  }
}

/// A persistent tensor in the engine's own layout.
final class StateStorage {
  let shape: Shape
  let layout: Layout
  let buffer: Buffer
  private(set) var memory: AlignedMemory?
  /// Grows with every change, so that what was derived from the state knows when it is stale.
  var version = 0

  init(_ shape: Shape) {
    self.shape = shape
    let fillsBlocks = shape.rank == 4 && shape[0] % Layout.block == 0 && shape[1] % Layout.block == 0
    layout = fillsBlocks ? .blockedKernel : .plain
    buffer = Buffer(byteCount: shape.count * MemoryLayout<Float>.stride, home: .persistent)
  }

  func allocate() throws(ExecutionError) {
    let memory = try AlignedMemory(byteCount: buffer.byteCount)
    self.memory = memory
    buffer.address = memory.base
  }

  private var taps: Int { shape[2] * shape[3] }

  func read() -> TensorData {
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

  func write(_ floats: [Float]) {
    version += 1
    if layout == .plain {
      buffer.floats.update(from: floats, count: shape.count)
    } else {
      ck_weights_to_blocked(floats, buffer.floats, shape[0], shape[1], taps)
    }
  }
}

/// What crosses the executable's boundary during one run.
final class Exchange {
  var inputs: [String: TensorData] = [:]
  var outputs: [String: TensorData] = [:]
  /// Filled in when their buffers have addresses.
  var constants: [(Buffer, [Float])] = []

  func copyInput(_ name: String, to target: UnsafeMutableRawPointer) {
    switch inputs[name]?.scalars {
    case .float(let floats): floats.withUnsafeBytes { copy($0, to: target) }
    case .int32(let integers): integers.withUnsafeBytes { copy($0, to: target) }
    case nil: preconditionFailure("input \(name) was checked and is missing")
    }
  }

  private func copy(_ bytes: UnsafeRawBufferPointer, to target: UnsafeMutableRawPointer) {
    if let base = bytes.baseAddress { target.copyMemory(from: base, byteCount: bytes.count) }
  }

  func takeOutput(_ name: String, _ type: TensorType, from source: UnsafeMutableRawPointer) {
    let count = type.shape.count
    switch type.dtype {
    case .float:
      let floats = UnsafeBufferPointer(start: source.assumingMemoryBound(to: Float.self), count: count)
      outputs[name] = TensorData(Array(floats), shape: type.shape)
    case .int32:
      let integers = UnsafeBufferPointer(start: source.assumingMemoryBound(to: Int32.self), count: count)
      outputs[name] = TensorData(Array(integers), shape: type.shape)
    }
  }
}
