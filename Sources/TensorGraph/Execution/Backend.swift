/// Numbers in row-major order with their shape: how tensors enter and leave an executable.
public struct TensorData: Sendable, Equatable {
  public enum Scalars: Sendable, Equatable {
    case float([Float])
    case int32([Int32])
  }

  public var shape: Shape
  public var scalars: Scalars

  public init(_ floats: [Float], shape: Shape) {
    precondition(floats.count == shape.count, "\(floats.count) elements do not fill \(shape)")
    self.shape = shape
    scalars = .float(floats)
  }

  public init(_ integers: [Int32], shape: Shape) {
    precondition(integers.count == shape.count, "\(integers.count) elements do not fill \(shape)")
    self.shape = shape
    scalars = .int32(integers)
  }

  public init(_ float: Float) { self.init([float], shape: .scalar) }

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

/// Compiles tensor programs for some machine.
public protocol Backend: Sendable {
  /// What runs the programs, for logs and reports.
  var name: String { get }

  /// Makes `program` ready to run. States that `sharing` also has, by name and shape, are the same storage.
  ///
  /// - Throws: `ExecutionError.outOfMemory` where the plan does not fit, before anything is allocated.
  func compile(_ program: Program, sharing: (any Executable)?) throws -> any Executable
}

extension Backend {
  public func compile(_ program: Program) throws -> any Executable { try compile(program, sharing: nil) }
}

/// A compiled program with its persistent states, which stay in the engine's own layout between runs.
public protocol Executable: AnyObject {
  var program: Program { get }
  /// The bytes it holds, known before the first run.
  var memoryPlan: MemoryPlan { get }

  /// Runs the program once.
  ///
  /// - Throws: `ExecutionError` where an input is missing, unknown or of the wrong type.
  func run(_ inputs: [String: TensorData]) throws -> [String: TensorData]
  func read(_ state: String) throws -> TensorData
  func write(_ state: String, _ data: TensorData) throws
}

/// Where the bytes of an executable go.
public struct MemoryPlan: Sendable, Equatable {
  /// Persistent states: parameters, moments, averages.
  public var states: Int
  /// Of the states, what is storage of the executable that this one shares with.
  public var sharedStates: Int
  /// What is kept ready from run to run: constants, and weights in the form that kernels read.
  public var prepared: Int
  /// Intermediate results, sharing space by lifetime.
  public var activations: Int
  /// What intermediate results would take without sharing.
  public var unsharedActivations: Int
  /// Working space of single operators, shared by all.
  public var scratch: Int

  public init(
    states: Int, sharedStates: Int = 0, prepared: Int = 0, activations: Int, unsharedActivations: Int, scratch: Int
  ) {
    self.states = states
    self.sharedStates = sharedStates
    self.prepared = prepared
    self.activations = activations
    self.unsharedActivations = unsharedActivations
    self.scratch = scratch
  }

  /// What it takes itself, beside the executable that it shares with.
  public var total: Int { states - sharedStates + prepared + activations + scratch }

  /// Both together, where `other` shares states with this one.
  public func with(_ other: MemoryPlan) -> MemoryPlan {
    MemoryPlan(
      states: states + other.states - other.sharedStates, sharedStates: sharedStates,
      prepared: prepared + other.prepared, activations: activations + other.activations,
      unsharedActivations: unsharedActivations + other.unsharedActivations, scratch: scratch + other.scratch)
  }
}

/// A run that cannot be done.
public enum ExecutionError: Error, Equatable, CustomStringConvertible {
  case missingInput(String, TensorType)
  case unknownInput(String, known: [String])
  case unknownState(String)
  case wrongType(name: String, expected: TensorType, found: TensorType)
  case indexOutOfRange(op: String, index: Int, count: Int)
  case outOfMemory(needed: Int, available: Int)
  /// A library refused an operation: its name, and what it said.
  case library(operation: String, message: String)

  public var description: String {
    switch self {
    case .missingInput(let name, let type): return "input \(name) \(type) was not given"
    case .unknownInput(let name, let known):
      return "there is no input \(name); the inputs are \(known.joined(separator: ", "))"
    case .unknownState(let name): return "there is no state \(name)"
    case .wrongType(let name, let expected, let found): return "\(name) is \(expected), but was given \(found)"
    case .indexOutOfRange(let op, let index, let count): return "\(op): index \(index) is not in 0..<\(count)"
    case .outOfMemory(let needed, let available):
      let mebibytes = { (bytes: Int) in "\((bytes + (1 << 20) - 1) >> 20) MiB" }
      return
        "needs \(mebibytes(needed)) of memory, but only \(mebibytes(available)) are available; a smaller batch needs less"
    case .library(let operation, let message): return "\(operation): \(message)"
    }
  }
}

extension Executable {
  /// Checks that `inputs` are exactly those that the program declares.
  package func check(_ inputs: [String: TensorData]) throws(ExecutionError) {
    for input in program.inputs {
      let expected = program.types[input.value]
      guard let given = inputs[input.name] else { throw .missingInput(input.name, expected) }
      guard given.type == expected else { throw .wrongType(name: input.name, expected: expected, found: given.type) }
    }
    guard inputs.count == program.inputs.count else {
      let known = program.inputs.map(\.name)
      for name in inputs.keys.sorted() where !known.contains(name) { throw .unknownInput(name, known: known) }
      return
    }
  }
}
