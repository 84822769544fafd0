import Threads

/// Runs tensor programs in plain Swift and 64-bit arithmetic: slow, obvious, and the oracle that faster backends are tested against.
///
/// Each operator is the loop nest of its definition, one file per family (`Reference+…`). Nothing is fused, blocked or approximated.
public struct ReferenceBackend: Backend {
  /// `reference`.
  public var name: String { "reference" }
  /// 64 bits, which no other backend repeats.
  public var arithmetic: String { "reference float64" }

  /// Processes that share each batch, as accelerators do.
  package struct Cluster: Sendable {
    let count: Int
    /// The mean over the processes of what each has, called by all of them in the same order.
    let mean: @Sendable ([Double]) throws -> [Double]

    package init(count: Int, mean: @escaping @Sendable ([Double]) throws -> [Double]) {
      (self.count, self.mean) = (count, mean)
    }
  }
  private let cluster: Cluster?

  /// A backend without settings: it computes on the thread that asks.
  public init() { cluster = nil }

  /// One of several that share each batch, with a device each.
  package init(_ cluster: Cluster) { self.cluster = cluster }

  /// One in each process.
  public var deviceCount: Int { processCount }
  /// Those that share each batch.
  public var processCount: Int { cluster?.count ?? 1 }
  /// This one by itself.
  public var withinProcess: any Backend { ReferenceBackend() }

  /// In 64 bits, whatever the programs' type.
  public func makeStates(for programs: [Program]) throws -> any States { try ReferenceStates(for: programs) }

  /// Takes states of this backend alone.
  public func compile(_ program: Program, states: any States) throws -> any Executable {
    guard let states = states as? ReferenceStates else {
      throw ExecutionError.foreignStates(expected: "\(ReferenceStates.self)", found: "\(type(of: states))")
    }
    return try ReferenceExecutable(program, states, mean: cluster?.mean)
  }

  /// The same as `compile`, with the type that also runs in 64 bits from end to end.
  public func compileExact(_ program: Program) throws -> ReferenceExecutable {
    try ReferenceExecutable(program, ReferenceStates(for: [program]))
  }
}

/// The states of the reference backend, in 64 bits.
public final class ReferenceStates: States {
  /// By name.
  public let types: [String: TensorType]
  /// Eight bytes an element.
  public var byteCount: Int { types.values.reduce(0) { $0 + 8 * $1.shape.count } }

  /// Locked for the whole of a run, so that runs and readers take turns.
  fileprivate let elements: Monitor<[String: [Double]]>

  init(for programs: [Program]) throws(ExecutionError) {
    types = try Program.stateTypes(of: programs)
    elements = Monitor(types.mapValues { [Double](repeating: 0, count: $0.shape.count) })
  }

  /// Rounded to 32 bits; ``readExact(_:)`` keeps them all.
  public func read(_ name: String) throws -> TensorData {
    TensorData(exact: try readExact(name), type: try type(of: name))
  }

  /// Widened to 64 bits.
  public func write(_ name: String, _ data: TensorData) throws {
    _ = try type(of: name, accepting: data)
    elements.change { $0[name] = data.exact }
  }

  /// The elements of a state in row-major order, all 64 bits of them.
  public func readExact(_ name: String) throws -> [Double] {
    _ = try type(of: name)
    return elements.change { $0[name] ?? [] }
  }

  /// Replaces the elements of a state.
  public func writeExact(_ name: String, _ elements: [Double]) throws {
    let expected = try type(of: name)
    guard elements.count == expected.shape.count else {
      throw ExecutionError.wrongType(name: name, expected: expected, found: TensorType([elements.count]))
    }
    self.elements.change { $0[name] = elements }
  }
}

/// A program on the reference backend.
///
/// `run` speaks the protocol's 32-bit `TensorData`; `runExact` keeps all 64 bits, which is what finite differences need.
public final class ReferenceExecutable: Executable {
  /// As it was given: nothing is rewritten.
  public let program: Program
  /// Its states, with all 64 bits.
  public let exactStates: ReferenceStates
  /// The same as ``exactStates``.
  public var states: any States { exactStates }
  /// Eight bytes an element, each value from its node to its last reader.
  public let memoryPlan: MemoryPlan

  /// For each node, the values that nothing needs any more.
  private let dying: [[Program.ValueID]]
  /// Of a value that several processes have; nil for one process.
  private let mean: (@Sendable ([Double]) throws -> [Double])?

  init(
    _ program: Program, _ states: ReferenceStates, mean: (@Sendable ([Double]) throws -> [Double])? = nil
  ) throws(ExecutionError) {
    try states.check(program)
    self.program = program
    self.mean = mean
    exactStates = states
    let lifetimes = program.lifetimes
    dying = lifetimes.dying
    memoryPlan = MemoryPlan(program, states: states, lifetimes)
  }

  /// In 64 bits inside; inputs and outputs have 32.
  public func run(onDevice inputs: [String: any DeviceTensor]) throws -> [String: any DeviceTensor] {
    let results = try execute(hostData(inputs).mapValues(\.exact))
    var outputs: [String: TensorData] = [:]
    for output in program.outputs {
      outputs[output.name] = results[output.name].map { TensorData(exact: $0, type: program.types[output.value]) }
    }
    return outputs
  }

  /// Runs the program once on 64-bit numbers in row-major order; integers are whole numbers.
  ///
  /// - Throws: `ExecutionError` where an input is missing, unknown or has the wrong number of elements.
  public func runExact(_ inputs: [String: [Double]]) throws -> [String: [Double]] {
    for input in program.inputs {
      let expected = program.types[input.value]
      guard let given = inputs[input.name] else { throw ExecutionError.missingInput(input.name, expected) }
      guard given.count == expected.shape.count else {
        throw ExecutionError.wrongType(name: input.name, expected: expected, found: TensorType([given.count]))
      }
    }
    let known = program.inputs.map(\.name)
    for name in inputs.keys.sorted() where !known.contains(name) {
      throw ExecutionError.unknownInput(name, known: known)
    }
    return try execute(inputs)
  }

  private func execute(_ inputs: [String: [Double]]) throws -> [String: [Double]] {
    try exactStates.elements.change { states in try execute(inputs, &states) }
  }

  private func execute(
    _ inputs: [String: [Double]], _ states: inout [String: [Double]]
  ) throws -> [String: [Double]] {
    var values = [[Double]](repeating: [], count: program.types.count)
    for (index, node) in program.nodes.enumerated() {
      switch node.op {
      case .input(let name): values[node.results[0]] = inputs[name] ?? []
      case .state(let name): values[node.results[0]] = states[name] ?? []
      default:
        let operands = node.operands.map { Reference.Value(shape: program.types[$0].shape, elements: values[$0]) }
        var results = try Reference.evaluate(node.op, operands, results: node.results.map { program.types[$0].shape })
        if let mean, case .allReduceMean = node.op { results[0] = try mean(results[0]) }
        for (id, elements) in zip(node.results, results) { values[id] = elements }
      }
      for id in dying[index] { values[id] = [] }
    }
    for update in program.updates { states[update.name] = values[update.value] }
    return Dictionary(uniqueKeysWithValues: program.outputs.map { ($0.name, values[$0.value]) })
  }
}

extension TensorData {
  /// The elements in 64 bits.
  fileprivate var exact: [Double] {
    switch scalars {
    case .float(let floats): floats.map(Double.init)
    case .int32(let integers): integers.map(Double.init)
    }
  }

  fileprivate init(exact elements: [Double], type: TensorType) {
    switch type.dtype {
    case .float: self.init(elements.map(Float.init), shape: type.shape)
    case .int32: self.init(elements.map { Int32($0) }, shape: type.shape)
    }
  }
}

extension MemoryPlan {
  /// What the reference backend holds: eight bytes an element, each value from its node to its last reader.
  fileprivate init(_ program: Program, states: ReferenceStates, _ lifetimes: Lifetimes) {
    let stored = Set(program.states.map(\.value))
    func bytes(_ value: Program.ValueID) -> Int { stored.contains(value) ? 0 : 8 * program.types[value].shape.count }
    self.init(
      states: states.byteCount, activations: lifetimes.peak(bytes).byteCount,
      unsharedActivations: lifetimes.owners.reduce(0) { $0 + bytes($1) }, scratch: 0)
  }
}
