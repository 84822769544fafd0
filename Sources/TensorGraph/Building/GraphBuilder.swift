/// Builds a `Program` operator by operator.
///
/// The expressions of layers and losses stay free of `try`: the first shape error is remembered, everything after it
/// computes with the shapes as far as they are known, and `finish()` throws it.
public final class GraphBuilder {
  private(set) var program = Program(types: [], nodes: [], inputs: [], states: [], outputs: [], updates: [])
  private var firstError: ProgramError?
  private var names: Set<String> = []
  private var stateTypes: [String: TensorType] = [:]
  private var updated: Set<String> = []
  /// What has been computed already: every operator is a pure function, so the same one of the same operands is the same value.
  private var computed: [Expression: [Program.ValueID]] = [:]

  private struct Expression: Hashable {
    var op: Op
    var operands: [Program.ValueID]
  }

  /// An empty graph.
  public init() {}

  // MARK: Leaves

  /// A tensor that every run is given under `name`.
  public func input(_ name: String, _ shape: Shape, _ dtype: DType = .float) -> Tensor {
    let tensor = leaf(.input(name), TensorType(shape, dtype), unique: name)
    program.inputs.append(.init(name: name, value: tensor.id))
    return tensor
  }

  /// A tensor that persists between runs under `name`: zero until written.
  public func state(_ name: String, _ shape: Shape) -> Tensor {
    let tensor = leaf(.state(name), TensorType(shape), unique: name)
    program.states.append(.init(name: name, value: tensor.id))
    stateTypes[name] = tensor.type
    return tensor
  }

  /// A tensor known now, its elements in row-major order.
  public func constant(_ scalars: [Float], shape: Shape) -> Tensor {
    if shape.isReasonable, shape.count != scalars.count {
      fail(.shape(ShapeError(op: "constant", operands: [TensorType(shape)], reason: "has \(scalars.count) elements")))
    }
    return leaf(.constant(scalars), TensorType(shape), unique: nil)
  }

  /// A scalar known now.
  public func constant(_ scalar: Float) -> Tensor { constant([scalar], shape: .scalar) }

  private func leaf(_ op: Op, _ type: TensorType, unique name: String?) -> Tensor {
    if let name, !names.insert(name).inserted { fail(.duplicateName(name)) }
    if !type.shape.isReasonable {
      fail(
        .shape(
          ShapeError(
            op: op.name, operands: [type],
            reason: "every dimension must be at least 1, and the elements at most \(Shape.maximumCount)")))
      // A stand-in of the same rank, so that nothing that is built on it overflows before `finish()` throws.
      let ones = Shape([Int](repeating: 1, count: type.shape.rank))
      return append(op, [], [TensorType(ones, type.dtype)])[0]
    }
    return append(op, [], [type])[0]
  }

  // MARK: Operators

  /// Applies an operator that has one result.
  public func apply(_ op: Op, _ operands: [Tensor]) -> Tensor { applyAll(op, operands)[0] }

  /// Applies an operator and gives all its results; those of an equal expression built before, if there is one.
  public func applyAll(_ op: Op, _ operands: [Tensor]) -> [Tensor] {
    let expression = Expression(op: op, operands: operands.map(\.id))
    if let known = computed[expression] { return known.map(tensor) }
    let results = applyAnew(op, operands)
    computed[expression] = results.map(\.id)
    return results
  }

  /// The same, computed again where an equal expression was built before.
  func applyAnew(_ op: Op, _ operands: [Tensor]) -> [Tensor] {
    do {
      return append(op, operands.map(\.id), try op.resultTypes(operands.map(\.type)))
    } catch {
      fail(.shape(error))
      // Stand-ins, so that building can go on to `finish()`, where the error is thrown.
      return Array(repeating: operands.first ?? Tensor(builder: self, id: 0, type: TensorType(.scalar)), count: 7)
    }
  }

  private func append(_ op: Op, _ operands: [Program.ValueID], _ types: [TensorType]) -> [Tensor] {
    let results = types.map { type in
      program.types.append(type)
      return Tensor(builder: self, id: program.types.count - 1, type: type)
    }
    program.nodes.append(.init(op: op, operands: operands, results: results.map(\.id)))
    return results
  }

  /// The handle of a value that is in the graph.
  func tensor(_ id: Program.ValueID) -> Tensor { Tensor(builder: self, id: id, type: program.types[id]) }

  func fail(_ error: ProgramError) { if firstError == nil { firstError = error } }

  // MARK: Results

  /// Gives `tensor` to the caller of every run, under `name`.
  public func output(_ name: String, _ tensor: Tensor) {
    if program.outputs.contains(where: { $0.name == name }) { fail(.duplicateName(name)) }
    program.outputs.append(.init(name: name, value: tensor.id))
  }

  /// Replaces the state `name` with `tensor` at the end of every run.
  public func update(_ name: String, _ tensor: Tensor) {
    guard let declared = stateTypes[name] else { return fail(.unknownState(name)) }
    if declared != tensor.type { fail(.updateType(state: name, declared: declared, found: tensor.type)) }
    if !updated.insert(name).inserted { fail(.duplicateName(name)) }
    program.updates.append(.init(name: name, value: tensor.id))
  }

  /// The program, without the operators that no output and no update needs.
  ///
  /// - Throws: the first error met while building.
  public func finish() throws -> Program {
    if let firstError { throw firstError }
    var result = program
    result.removeDeadNodes()
    try result.verify()
    return result
  }
}
