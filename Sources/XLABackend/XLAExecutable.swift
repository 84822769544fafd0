import TensorGraph

/// A program on accelerators.
public final class XLAExecutable: Executable {
  public let program: Program
  public let memoryPlan: MemoryPlan
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
    let options = LoweringOptions(precision: backend.precision, replicas: backend.indices.count)
    let module = Module(program, options)
    executable = try backend.compile(module)
    results =
      program.updates.map { StateStorage(program.types[$0.value]).stored } + program.outputs.map { program.types[$0.value] }

    let memory = try executable.memory()
    memoryPlan = MemoryPlan(
      states: states.byteCount, prepared: memory.code, activations: memory.temporary + memory.results - memory.aliased,
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

  public func run(_ inputs: [String: TensorData]) throws -> [String: TensorData] {
    try checkInputs(inputs)
    let given = try storage.indices.enumerated().map { replica, device in
      try program.inputs.map { input in
        guard let data = inputs[input.name] else { preconditionFailure("input \(input.name) was checked and is missing") }
        return try client.buffer(part(of: data, program.types[input.value], replica), on: device)
      } + zero[replica]
    }
    let made = try storage.run(program.states.map(\.name), replacing: program.updates.map(\.name)) { states in
      try executable.execute(zip(states, given).map { $0 + $1 }, results: results)
    }
    let first = program.updates.count
    let readings = try program.outputs.indices.map { index in
      // A scalar is the same on every device.
      let isScalar = program.types[program.outputs[index].value].shape.rank == 0
      return try (isScalar ? made.prefix(1) : made[...]).map { try PJRTBuffer.Reading(of: $0[first + index]) }
    }
    var outputs: [String: TensorData] = [:]
    for (output, parts) in zip(program.outputs, readings) { outputs[output.name] = try joined(parts.map { try $0.finish() }) }
    return outputs
  }

  // MARK: Batches over devices

  /// Checks that inputs are those of the program, or with as many times the rows as there are devices.
  private func checkInputs(_ inputs: [String: TensorData]) throws {
    let replicas = storage.indices.count
    try check(
      replicas == 1
        ? inputs
        : inputs.mapValues { data in data }
    )
    for limit in rowCounts {
      guard case .int32(let rows)? = inputs[limit.input]?.scalars else { continue }
      for row in rows where !(0..<limit.count).contains(Int(row)) {
        throw ExecutionError.indexOutOfRange(op: limit.op, index: Int(row), count: limit.count)
      }
    }
  }

  /// The rows that belong to a device, or all of what every device is given.
  private func part(of data: TensorData, _ type: TensorType, _ replica: Int) -> TensorData {
    guard data.shape != type.shape else { return data }
    let count = type.shape.count
    let range = replica * count..<(replica + 1) * count
    switch data.scalars {
    case .float(let floats): return TensorData(Array(floats[range]), shape: type.shape)
    case .int32(let integers): return TensorData(Array(integers[range]), shape: type.shape)
    }
  }

  private func joined(_ parts: [TensorData]) -> TensorData {
    guard parts.count > 1 else { return parts[0] }
    var shape = parts[0].shape
    shape[0] *= parts.count
    return TensorData(parts.flatMap(\.floats), shape: shape)
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
