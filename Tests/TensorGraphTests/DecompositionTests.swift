import TensorGraph
import TestSupport
import Testing

@Suite struct DecompositionTests {
  private static let backend = ReferenceBackend()

  /// Composite operators are what their decompositions say, gradients included, and none of them is left.
  @Test(arguments: OperatorCase.all.filter { !$0.isLarge }) func decompositionsAreTheOperators(_ entry: OperatorCase)
    throws
  {
    let program = try entry.program(gradients: entry.hasGradients)
    let decomposed = try program.decomposed { $0.decomposition != nil }
    #expect(decomposed.nodes.allSatisfy { $0.op.decomposition == nil })
    #expect(decomposed.inputs.map(\.name) == program.inputs.map(\.name))
    guard decomposed.nodes.count != program.nodes.count || decomposed.nodes.map(\.op) != program.nodes.map(\.op) else {
      return
    }
    let inputs = entry.inputs(for: program).mapValues { $0.floats.map(Double.init) }
    let expected = try Self.backend.compileExact(program).runExact(inputs)
    let found = try Self.backend.compileExact(decomposed).runExact(inputs)
    #expect(Set(found.keys) == Set(expected.keys))
    for (name, numbers) in expected {
      let error = relativeError(try #require(found[name]), numbers)
      #expect(error <= 1e-12, "\(name): relative error \(error)")
    }
  }

  /// Only what is lacking is replaced; outputs, states and updates stay.
  @Test func onlyWhatIsLackingGoes() throws {
    let builder = GraphBuilder()
    let s = builder.state("s", [2, 3])
    let y = s.softmax().silu()
    builder.output("y", y)
    builder.update("s", y.detached())
    let program = try builder.finish().decomposed { $0 == .softmax }
    let kinds = Set(program.nodes.map { OperatorKind($0.op) })
    #expect(kinds.isSuperset(of: [.slice, .sum, .detach]) && !kinds.contains(.softmax))
    #expect(program.nodes.contains { $0.op == .unary(.silu) })
    #expect(program.states.map(\.name) == ["s"] && program.updates.map(\.name) == ["s"])
    #expect(program.outputs.map(\.name) == ["y"])
  }

  /// What a decomposition uses may be lacking too; what nothing replaces is an error.
  @Test func lackingOperatorsAreReplacedToTheEnd() throws {
    let builder = GraphBuilder()
    builder.output("y", builder.input("x", [3]).unary(.mish))
    let program = try builder.finish()
    let simple = try program.decomposed { op in [.mish, .softplus, .relu].contains { op == .unary($0) } }
    #expect(simple.nodes.contains { $0.op == .binary(.maximum) })
    let error = #expect(throws: ProgramError.self) {
      try program.decomposed { op in [.mish, .tanh].contains { op == .unary($0) } }
    }
    #expect(error?.description == "tanh is lacking on this backend, and simpler operators do not replace it")
  }
}
