import TensorGraph

/// A program on accelerators.
public final class XLAExecutable: Executable {
  /// What was compiled.
  public let program: Program
  /// The compiler's, for one device.
  public let memoryPlan: MemoryPlan
  /// Those it was compiled with.
  public var states: any States { storage }

  private let storage: XLAStates
  private let executable: PJRTExecutable
  /// The zero that the module takes, where it does, on each device.
  private let zero: [[PJRTBuffer]]
  private let results: [TensorType]
  /// Inputs that number rows of a table: a compiled program would take a wrong number without a word.
  private let rowCounts: [(input: String, op: String, count: Int)]
  private var client: PJRTClient { storage.client }

  init(_ program: Program, _ backend: XLABackend, _ states: XLAStates) throws {
    try states.check(program)
    self.program = program
    storage = states
    rowCounts = program.rowCounts
    let options = LoweringOptions(precision: backend.precision, replicas: backend.deviceCount)
    let module = Module(program, options)
    executable = try backend.compile(module)
    results =
      program.updates.map { StateStorage(program.types[$0.value]).stored }
      + program.outputs.map { program.types[$0.value] }

    let memory = try executable.memory()
    memoryPlan = MemoryPlan(
      states: states.byteCount, prepared: memory.code, activations: memory.temporary + memory.results,
      unsharedActivations: memory.temporary, scratch: 0)
    for index in backend.indices {
      guard let device = backend.client.memory(of: index) else { continue }
      let (needed, available) = (memoryPlan.total - states.allocatedByteCount, device.limit - device.used)
      guard needed <= available else { throw ExecutionError.outOfMemory(needed: needed, available: available) }
    }
    zero =
      module.takesZero
      ? try backend.indices.map { [try backend.client.buffer(TensorData([Int32(0)], shape: .scalar), on: $0)] }
      : backend.indices.map { _ in [] }
  }

  /// Starts the program and does not wait for it: the outputs' `data()` does. So the next run's inputs are sent, and the next run is
  /// queued, while this one computes.
  ///
  /// With n devices an input may be given whole, the same for all of them, or with n times the program's rows; outputs have n times the
  /// program's rows, scalars are the first device's.
  public func run(onDevice inputs: [String: any DeviceTensor]) throws -> [String: any DeviceTensor] {
    try checkInputs(inputs)
    let given = try program.inputs.map { input in
      guard let tensor = inputs[input.name] else {
        preconditionFailure("input \(input.name) was checked and is missing")
      }
      return try buffers(of: tensor, program.types[input.value])
    }
    let made = try storage.run(program.states.map(\.name), replacing: program.updates.map(\.name)) { states in
      try executable.execute(
        states.indices.map { device in states[device] + given.map { $0[device] } + zero[device] }, results: results)
    }
    var outputs: [String: any DeviceTensor] = [:]
    for (index, output) in program.outputs.enumerated() {
      outputs[output.name] = XLATensor(made.map { $0[program.updates.count + index] }, storage)
    }
    return outputs
  }

  private func checkInputs(_ inputs: [String: any DeviceTensor]) throws(ExecutionError) {
    try check(inputs, replicas: storage.indices.count)
    for limit in rowCounts {
      // Only what lies on the host can be looked at.
      guard case .int32(let rows)? = (inputs[limit.input] as? TensorData)?.scalars else { continue }
      for row in rows where !(0..<limit.count).contains(Int(row)) {
        throw .indexOutOfRange(op: limit.op, index: Int(row), count: limit.count)
      }
    }
  }

  /// The buffers of an input, one a device.
  private func buffers(of tensor: any DeviceTensor, _ type: TensorType) throws -> [PJRTBuffer] {
    if let known = tensor as? XLATensor, known.isOf(storage), known.buffers[0].type == type { return known.buffers }
    let data = try tensor.data()
    return try storage.indices.enumerated().map { replica, device in
      try client.buffer(data.share(of: replica, type), on: device)
    }
  }
}

/// A tensor on accelerators: the rows of a batch, divided over them.
public final class XLATensor: DeviceTensor {
  /// Of all devices' rows together.
  public let type: TensorType
  let buffers: [PJRTBuffer]
  private let client: PJRTClient
  private let indices: [Int]

  fileprivate init(_ buffers: [PJRTBuffer], _ states: XLAStates) {
    type = buffers[0].type.repeated(buffers.count)
    self.buffers = buffers
    (client, indices) = (states.client, states.indices)
  }

  fileprivate func isOf(_ states: XLAStates) -> Bool { client === states.client && indices == states.indices }

  /// Waits for the numbers. Of a scalar that each device has, the first device's.
  public func data() throws -> TensorData {
    let readings = try (type.shape.rank == 0 ? buffers.prefix(1) : buffers[...]).map { try PJRTBuffer.Reading(of: $0) }
    return TensorData(joining: try readings.map { try $0.finish() })
  }
}

extension Program {
  /// The inputs that number the rows of a table, with how many there are.
  fileprivate var rowCounts: [(input: String, op: String, count: Int)] {
    let names = Dictionary(inputs.map { ($0.value, $0.name) }, uniquingKeysWith: { first, _ in first })
    return nodes.compactMap { node in
      switch node.op {
      case .gatherRows: names[node.operands[1]].map { ($0, node.op.name, types[node.operands[0]].shape[0]) }
      case .scatterAddRows(let count): names[node.operands[1]].map { ($0, node.op.name, count) }
      default: nil
      }
    }
  }
}
