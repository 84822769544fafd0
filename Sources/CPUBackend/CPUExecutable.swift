import CDNNL
import CKernels
import TensorGraph

/// A compiled program: its steps, and the memory in which they work. All that changes is touched on the engine's thread alone.
public final class CPUExecutable: Executable, @unchecked Sendable {
  /// As it was given, before it was lowered to steps.
  public let program: Program
  /// The `CPUStates` that it was compiled with.
  public let states: any States
  /// Taken when it was compiled.
  public let memoryPlan: MemoryPlan
  /// The time of every step so far, where the backend profiles.
  public var profile: Profile? { EngineThread.shared.run { self.recorded } }

  private var recorded: Profile?
  private let options: CPUBackend.Options
  private let steps: [Step]
  private let exchange: Exchange
  private let arena: AlignedMemory
  private let scratch: AlignedMemory
  private let constants: [AlignedMemory]

  init(_ program: Program, _ options: CPUBackend.Options, _ states: CPUStates) throws {
    try states.checkChanges(by: program)
    self.program = program
    self.options = options
    self.states = states
    exchange = Exchange()

    let tuner = Tuner(options)
    let joined = try program.joiningProjections()
    // With AMX convolutions apply norms as they read, and nothing keeps those.
    let rewritten = options.allows(.amx) ? joined : try joined.recomputing()
    let lowering = Lowering(
      rewritten, options: options, tuner: tuner, states: states.storages, exchange: exchange)
    try lowering.lower()
    tuner.save()
    steps = lowering.steps

    let planner = MemoryPlanner(steps)
    memoryPlan = MemoryPlan(
      states: states.byteCount, prepared: lowering.constants.reduce(0) { $0 + $1.byteCount },
      activations: planner.arenaByteCount, unsharedActivations: planner.unsharedByteCount,
      scratch: planner.scratchByteCount)
    let (needed, available) = (memoryPlan.total - states.allocatedByteCount, AlignedMemory.availableByteCount)
    guard needed <= available else { throw ExecutionError.outOfMemory(needed: needed, available: available) }

    try states.allocate()
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
    if options.profiles { recorded = Profile(steps) }
  }

  /// On the engine's thread: runs of all CPU executables take turns.
  public func run(onDevice inputs: [String: any DeviceTensor]) throws -> [String: any DeviceTensor] {
    let inputs = try hostData(inputs)
    return try EngineThread.shared.run { [self] () throws -> [String: TensorData] in
      options.apply()
      exchange.inputs = inputs
      exchange.outputs = [:]
      defer {
        exchange.inputs = [:]
        exchange.outputs = [:]
      }
      if recorded == nil {
        for step in steps { try step.run(scratch.base) }
      } else {
        for (index, step) in steps.enumerated() {
          let start = monotonicSeconds()
          try step.run(scratch.base)
          recorded?.record(index, start: start, end: monotonicSeconds())
        }
      }
      return exchange.outputs
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
