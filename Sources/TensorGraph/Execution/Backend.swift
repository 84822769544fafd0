/// Compiles tensor programs for some machine.
public protocol Backend: Sendable {
  /// What runs the programs, for logs and reports.
  var name: String { get }
  /// What decides the last digits of a result: two runs repeat each other where it is equal.
  var arithmetic: String { get }
  /// Devices that share each batch: a program of N rows takes inputs of `deviceCount` · N from all processes together.
  var deviceCount: Int { get }
  /// Processes whose devices are among them; each runs every program, with the rows of its own devices.
  var processCount: Int { get }
  /// The devices of this process alone.
  var withinProcess: any Backend { get }
  /// Whether a run returns before its outputs are there, so that the next can be prepared and sent meanwhile.
  var isAsynchronous: Bool { get }
  /// The bytes of intermediate results beyond which a larger batch is no faster, for no cache holds them; nil where larger always is.
  var batchByteCount: Int? { get }
  /// This backend for a program that changes no state and is run with so many rows: with more devices, where its threads are faster as devices
  /// that take rows of their own than as one that shares every operator.
  func sharing(rows: Int) -> any Backend

  /// Storage for the states that the programs name, zero until written. A name stands for one state in all of them.
  ///
  /// - Throws: `ExecutionError.conflictingState` where programs disagree on a state's type.
  func makeStates(for programs: [Program]) throws -> any States

  /// Makes `program` ready to run on `states`, which other executables may share.
  ///
  /// - Throws: `ExecutionError.foreignStates` for states of another kind of backend, `.missingState` and `.wrongType` where they are not
  ///   the program's, `.outOfMemory` where the plan does not fit, before anything is allocated.
  func compile(_ program: Program, states: any States) throws -> any Executable
}

extension Backend {
  /// 1.
  public var deviceCount: Int { 1 }
  /// 1.
  public var processCount: Int { 1 }
  /// All there is.
  public var withinProcess: any Backend { self }
  /// False: outputs are there when a run returns.
  public var isAsynchronous: Bool { false }
  /// Nil: the larger the batch, the better.
  public var batchByteCount: Int? { nil }
  /// Itself.
  public func sharing(rows: Int) -> any Backend { self }

  /// Makes `program` ready to run on states of its own.
  public func compile(_ program: Program) throws -> any Executable {
    try compile(program, states: makeStates(for: [program]))
  }
}

/// Named tensors that persist on a backend, in its own layout: made once, shared by the executables that are compiled with them.
///
/// Tasks may read, write and run executables at the same time; each sees states as they are between two runs.
public protocol States: AnyObject, Sendable {
  /// Each state's type, by name.
  var types: [String: TensorType] { get }
  /// The bytes of all of them, whether written yet or not.
  var byteCount: Int { get }

  /// - Throws: `ExecutionError.unknownState`.
  func read(_ name: String) throws -> TensorData
  /// Several states, for which a device is waited for once.
  func read(_ names: [String]) throws -> [TensorData]
  /// - Throws: `ExecutionError.unknownState` or `.wrongType`.
  func write(_ name: String, _ data: TensorData) throws
}

/// A compiled program. Tasks may run it at the same time; one waits for the other.
public protocol Executable: AnyObject, Sendable {
  /// What was compiled.
  var program: Program { get }
  /// What it was compiled with.
  var states: any States { get }
  /// The bytes it holds, known before the first run.
  var memoryPlan: MemoryPlan { get }

  /// Runs the program once. Inputs of another backend are brought here through the host; outputs stay on this one.
  ///
  /// - Throws: `ExecutionError` where an input is missing, unknown or of the wrong type.
  func run(onDevice inputs: [String: any DeviceTensor]) throws -> [String: any DeviceTensor]
}

extension Executable {
  /// Runs the program once, from and to the host's memory.
  public func run(_ inputs: [String: TensorData]) throws -> [String: TensorData] {
    try run(onDevice: inputs).mapValues { try $0.data() }
  }
}

extension States {
  /// One after the other; a backend that waits for a device has its own.
  public func read(_ names: [String]) throws -> [TensorData] { try names.map { try read($0) } }

  /// Checks that the states of `program` are among these.
  package func check(_ program: Program) throws(ExecutionError) {
    for state in program.states {
      let expected = program.types[state.value]
      guard let found = types[state.name] else { throw .missingState(state.name, expected) }
      guard found == expected else { throw .wrongType(name: state.name, expected: expected, found: found) }
    }
  }

  /// The type of the state `name`; with `data`, also checks that it fits.
  package func type(of name: String, accepting data: TensorData? = nil) throws(ExecutionError) -> TensorType {
    guard let type = types[name] else { throw .unknownState(name) }
    if let data, data.type != type { throw .wrongType(name: name, expected: type, found: data.type) }
    return type
  }
}

extension Program {
  /// The types of the states that `programs` name, by name.
  package static func stateTypes(of programs: [Program]) throws(ExecutionError) -> [String: TensorType] {
    var types: [String: TensorType] = [:]
    for program in programs {
      for state in program.states {
        let type = program.types[state.value]
        if let known = types.updateValue(type, forKey: state.name), known != type {
          throw .conflictingState(state.name, known, type)
        }
      }
    }
    return types
  }
}

extension Executable {
  /// Checks that `inputs` are exactly those that the program declares, or have `replicas` times their rows.
  package func check(_ inputs: [String: any DeviceTensor], replicas: Int = 1) throws(ExecutionError) {
    for input in program.inputs {
      let expected = program.types[input.value]
      guard let given = inputs[input.name] else { throw .missingInput(input.name, expected) }
      guard given.type == expected || given.type == expected.repeated(replicas) else {
        throw .wrongType(name: input.name, expected: expected, found: given.type)
      }
    }
    guard inputs.count == program.inputs.count else {
      let known = program.inputs.map(\.name)
      for name in inputs.keys.sorted() where !known.contains(name) { throw .unknownInput(name, known: known) }
      return
    }
  }
  /// The numbers of the inputs, checked, for a backend that works in the host's memory.
  package func hostData(_ inputs: [String: any DeviceTensor], replicas: Int = 1) throws -> [String: TensorData] {
    try check(inputs, replicas: replicas)
    let data = try inputs.mapValues { try $0.data() }
    // A tensor of elsewhere may promise one type and give another.
    try check(data, replicas: replicas)
    return data
  }
}
