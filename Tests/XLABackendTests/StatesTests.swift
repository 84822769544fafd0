import TensorGraph
import TestSupport
import Testing
import XLABackend

/// States on an accelerator, and what a run does with them.
@Suite("States on XLA", .needsPlugin)
struct StatesTests {
  /// n ← n + x, giving the old n and the new; w ← w + 1.
  private func counting() throws -> Program {
    let builder = GraphBuilder()
    let n = builder.state("n", [2])
    let next = n + builder.input("x", [2])
    builder.update("n", next)
    builder.update("w", builder.state("w", [4, 3, 2, 5]) + 1)
    builder.output("before", n)
    builder.output("after", next)
    return try builder.finish()
  }

  /// Σ n, which it does not change, and w at one place.
  private func looking() throws -> Program {
    let builder = GraphBuilder()
    builder.output("sum", builder.state("n", [2]).sum())
    builder.output("row", builder.state("w", [4, 3, 2, 5]).sliced(axis: 0, 1..<2).sliced(axis: 1, 2..<3))
    return try builder.finish()
  }

  private let x = ["x": TensorData([1, 2] as [Float], shape: [2])]

  @Test func executablesShareThem() throws {
    let backend = try TestPlugin.backend()
    let (counting, looking) = (try counting(), try looking())
    let states = try backend.makeStates(for: [counting, looking])
    let counter = try backend.compile(counting, states: states)
    let look = try backend.compile(looking, states: states)
    #expect(counter.states === states && counter.memoryPlan.states == states.byteCount)
    // Zero before anything is written.
    #expect(try states.read("w").floats == [Float](repeating: 0, count: 120))
    // A kernel lies on the device in another order, and comes back in its own.
    let w = TensorData((0..<120).map(Float.init), shape: [4, 3, 2, 5])
    try states.write("w", w)
    #expect(try states.read("w") == w)
    #expect(try counter.run(x)["after"]?.floats == [1, 2])
    let outputs = try counter.run(x)
    #expect(outputs["before"]?.floats == [1, 2] && outputs["after"]?.floats == [2, 4])
    let seen = try look.run([:])
    #expect(seen["sum"]?.floats == [6])
    #expect(seen["row"]?.floats == (50..<60).map { Float($0) + 2 })
    let both = try states.read(["w", "n"])
    #expect(both[0].floats == w.floats.map { $0 + 2 } && both[1].floats == [2, 4])
  }

  @Test func othersAreRefused() throws {
    let backend = try TestPlugin.backend()
    let program = try looking()
    let error = #expect(throws: ExecutionError.self) {
      try backend.compile(program, states: ReferenceBackend().makeStates(for: [program]))
    }
    guard case .foreignStates = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    let states = try backend.makeStates(for: [program])
    #expect(throws: ExecutionError.missingState("k", TensorType([1]))) {
      let builder = GraphBuilder()
      builder.output("k", builder.state("k", [1]))
      return try backend.compile(builder.finish(), states: states)
    }
    #expect(throws: ExecutionError.unknownState("m")) { try states.read("m") }
    #expect(throws: ExecutionError.wrongType(name: "n", expected: TensorType([2]), found: TensorType(.scalar))) {
      try states.write("n", TensorData(0))
    }
  }

  @Test func inputsAreChecked() throws {
    let executable = try TestPlugin.backend().compile(counting())
    #expect(throws: ExecutionError.missingInput("x", TensorType([2]))) { try executable.run([:]) }
    #expect(throws: ExecutionError.wrongType(name: "x", expected: TensorType([2]), found: TensorType(.scalar))) {
      try executable.run(["x": TensorData(1)])
    }
    // A compiled program would clamp a row that the table lacks, without a word.
    let builder = GraphBuilder()
    builder.output("y", builder.input("table", [3, 2]).gatherRows(builder.input("i", [2], .int32)))
    let lookup = try TestPlugin.backend().compile(builder.finish())
    let table = TensorData((0..<6).map(Float.init), shape: [3, 2])
    #expect(
      try lookup.run(["table": table, "i": TensorData([2, 0] as [Int32], shape: [2])])["y"]?.floats == [4, 5, 0, 1])
    #expect(throws: ExecutionError.indexOutOfRange(op: "gatherRows", index: 3, count: 3)) {
      try lookup.run(["table": table, "i": TensorData([0, 3] as [Int32], shape: [2])])
    }
  }

  /// Runs from several tasks follow one another: no update is lost, and no reader sees half of one.
  @Test func tasksTakeTurns() async throws {
    let executable = try TestPlugin.backend().compile(counting())
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask { for _ in 0..<50 { _ = try executable.run(x) } }
        group.addTask {
          for _ in 0..<50 {
            let n = try executable.states.read("n").floats
            #expect(n[1] == 2 * n[0])
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try executable.states.read("n").floats == [200, 400])
  }

  /// The plan is the compiler's: an updated state takes no second place.
  @Test func plansMemoryBeforeTheFirstRun() throws {
    let builder = GraphBuilder()
    let s = builder.state("s", [1 << 20])
    builder.update("s", s * 2 + 1)
    let plan = try TestPlugin.backend().compile(builder.finish()).memoryPlan
    #expect(plan.states == 4 << 20)
    #expect(plan.activations < 1 << 20)
  }
}
