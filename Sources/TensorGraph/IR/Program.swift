/// A finished tensor program: what to compute, not how. Immutable, in topological order, checked.
///
/// One run reads the inputs and the states, computes the nodes, gives the outputs, and last of all replaces the updated states.
public struct Program: Sendable {
  /// A tensor of the program is known by the position of its type in `types`.
  public typealias ValueID = Int

  /// One operator applied to earlier values.
  public struct Node: Sendable {
    /// What is applied, with its settings.
    public var op: Op
    /// Values of earlier nodes, in the operator's order.
    public var operands: [ValueID]
    /// As many values as the operator has results.
    public var results: [ValueID]
  }

  /// A value that has a name outside of the program.
  public struct Named: Sendable {
    /// Unique among inputs and states, and among outputs.
    public var name: String
    /// What it stands for.
    public var value: ValueID
  }

  /// Shape and element type of each value, by its ID.
  public var types: [TensorType]
  /// In an order in which every operand is computed before it is used.
  public var nodes: [Node]
  /// What each run is given.
  public var inputs: [Named]
  /// What persists between runs, as it is when a run begins.
  public var states: [Named]
  /// What each run gives.
  public var outputs: [Named]
  /// State name → the value it takes at the end of the run.
  public var updates: [Named]
}

/// A program that cannot be built.
public enum ProgramError: Error, CustomStringConvertible {
  case shape(ShapeError)
  case duplicateName(String)
  case unknownState(String)
  case updateType(state: String, declared: TensorType, found: TensorType)
  case notDifferentiable(op: String)
  case lossNotScalar(TensorType)
  /// A backend lacks an operator that no simpler ones replace.
  case noDecomposition(op: String)

  public var description: String {
    switch self {
    case .shape(let error): error.description
    case .duplicateName(let name): "the name \(name) is declared twice in the program"
    case .unknownState(let name): "there is no state \(name) to update"
    case .updateType(let state, let declared, let found): "state \(state) is \(declared) and cannot become \(found)"
    case .notDifferentiable(let op): "\(op) has no gradient"
    case .lossNotScalar(let type): "gradients are of a scalar, not of \(type): take a mean or a sum first"
    case .noDecomposition(let op): "\(op) is lacking on this backend, and simpler operators do not replace it"
    }
  }
}

extension Program {
  /// Checks the invariants that every backend relies on; a failure is a defect of the code that built or rewrote the program.
  ///
  /// - Throws: `ShapeError` naming the operator where operands and results disagree.
  public func verify() throws(ShapeError) {
    var defined = Set<ValueID>()
    for node in nodes {
      let operands = node.operands.map { types[$0] }
      guard node.operands.allSatisfy(defined.contains) else {
        throw ShapeError(op: node.op.name, operands: operands, reason: "an operand is used before it is computed")
      }
      switch node.op {
      case .input, .state, .constant: break
      default:
        let expected = try node.op.resultTypes(operands)
        guard expected == node.results.map({ types[$0] }) else {
          throw ShapeError(op: node.op.name, operands: operands, reason: "the results are not \(expected)")
        }
      }
      defined.formUnion(node.results)
    }
  }
}

extension Program: CustomStringConvertible {
  /// One line a node: `%7 = convolution(%3, %1, %2) : [8, 64, 32, 32]`.
  public var description: String {
    nodes.map { node in
      let results = node.results.map { "%\($0)" }.joined(separator: ", ")
      let operands = node.operands.map { "%\($0)" }.joined(separator: ", ")
      return
        "\(results) = \(node.op.name)(\(operands)) : \(node.results.map { types[$0].description }.joined(separator: ", "))"
    }.joined(separator: "\n")
  }
}
