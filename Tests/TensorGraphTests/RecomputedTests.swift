import TensorGraph
import TestSupport
import Testing

/// What one pass over memory makes again is not kept for the backward pass.
@Suite struct RecomputedTests {
  private func count(_ program: Program, _ matches: (Op) -> Bool) -> Int { program.nodes.count { matches($0.op) } }
  private func norms(_ program: Program) -> Int { count(program) { if case .groupNorm = $0 { true } else { false } } }
  private func masks(_ program: Program) -> Int { count(program) { if case .dropoutMask = $0 { true } else { false } } }
  private func joins(_ program: Program) -> Int { count(program) { if case .concat = $0 { true } else { false } } }

  /// With and without dropout, whose masks and products lie between a norm and the convolution that reads it.
  @Test(arguments: [0, 0.3]) func trainingIsTheSameInLessMemory(dropout: Double) throws {
    var step = TrainingStep()
    step.config.dropout = dropout
    // So that images outweigh gradients, as they do where memory is short.
    step.batch = 32
    let program = try step.program()
    let recomputed = try program.recomputing(beyond: 0)
    try recomputed.verify()
    let executables = try [program, recomputed].map { try ReferenceBackend().compile($0) }
    let runs = try executables.map { try step.train($0, steps: 3) }
    #expect(runs[0].losses == runs[1].losses && runs[0].norms == runs[1].norms)
    for name in executables[0].states.types.keys {
      #expect(try executables[0].states.read(name) == executables[1].states.read(name))
    }
    let bytes = executables.map(\.memoryPlan.activations)
    #expect(bytes[1] * 10 < bytes[0] * 7)
    // Every norm but those whose results only the worst moment itself reads; a concatenation is kept only if its parts are no smaller.
    #expect(norms(recomputed) > norms(program) * 3 / 2 && norms(recomputed) <= 2 * norms(program))
    #expect(joins(recomputed) > joins(program))
    #expect((masks(recomputed) > masks(program)) == (dropout > 0))
  }

  /// Where there is memory enough, where nothing is read late, and what the run gives back.
  @Test func othersStay() throws {
    let program = try TrainingStep().program()
    #expect(try program.recomputing().nodes.count == program.nodes.count)

    let builder = GraphBuilder()
    let x = builder.input("x", [4, 8])
    let given = x.exp()
    let large = given.matmul(builder.input("w", [8, 64]))
    builder.output("given", given)
    builder.output("y", large.sin().sum([1], keepDimensions: true) * given)
    let other = try builder.finish()
    #expect(try other.recomputing(beyond: 0).nodes.count == other.nodes.count)
  }
}
