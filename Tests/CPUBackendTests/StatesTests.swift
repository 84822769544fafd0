import CPUBackend
import TensorGraph
import Testing

/// What every backend promises of states, on those that there are.
@Suite("States on a backend")
struct StatesTests {
  enum Kind: String, CaseIterable, CustomTestStringConvertible {
    case reference, cpu

    var testDescription: String { rawValue }
    var backend: any Backend {
      switch self {
      case .reference: ReferenceBackend()
      case .cpu: CPUBackend(.init(threads: 1))
      }
    }
  }

  /// n ← n + x, w ← w + 1, giving the old n and the new.
  private func counting() throws -> Program {
    let builder = GraphBuilder()
    let n = builder.state("n", [2])
    let w = builder.state("w", [16, 16, 1, 1])
    let next = n + builder.input("x", [2])
    builder.update("n", next)
    builder.update("w", w + 1)
    builder.output("after", next)
    return try builder.finish()
  }

  /// Σ n, which it does not change.
  private func summing() throws -> Program {
    let builder = GraphBuilder()
    builder.output("sum", builder.state("n", [2]).sum())
    return try builder.finish()
  }

  /// A new value goes to its state's memory where nobody needs the old one any more, and waits where somebody does.
  @Test(arguments: Kind.allCases) func oldValuesAreReadUntilTheEnd(_ kind: Kind) throws {
    let builder = GraphBuilder()
    let names = ["a", "b", "c", "d"]
    let states = names.map { builder.state($0, [2]) }
    // a ↔ b, each one more than the other was; c is read after it is new; d is made of itself twice.
    builder.update("a", states[1] + 1)
    builder.update("b", states[0] + 1)
    let c = states[2] * 2
    builder.update("c", c)
    builder.output("old c", states[2] + states[3])
    builder.update("d", (states[3] + states[3]) + states[3])
    builder.output("new c", c)
    let executable = try kind.backend.compile(builder.finish())
    for (i, name) in names.enumerated() {
      try executable.states.write(name, TensorData([Float(i + 1), Float(10 * (i + 1))], shape: [2]))
    }
    let outputs = try executable.run([:])
    #expect(outputs["old c"]?.floats == [7, 70] && outputs["new c"]?.floats == [6, 60])
    #expect(try names.map { try executable.states.read($0).floats } == [[3, 21], [2, 11], [6, 60], [12, 120]])
  }

  private let x = ["x": StatesTests.one]
  private static let one = TensorData([1, 2] as [Float], shape: [2])

  @Test(arguments: Kind.allCases) func executablesShareThem(_ kind: Kind) throws {
    let backend = kind.backend
    let (counting, summing) = (try counting(), try summing())
    let states = try backend.makeStates(for: [counting, summing])
    #expect(states.types == ["n": TensorType([2]), "w": TensorType([16, 16, 1, 1])])
    // Zero before anything is compiled, and what was written before stays.
    #expect(try states.read("w").floats == [Float](repeating: 0, count: 256))
    try states.write("n", TensorData([10, 20] as [Float], shape: [2]))
    let counter = try backend.compile(counting, states: states)
    let sum = try backend.compile(summing, states: states)
    #expect(counter.states === states && sum.states === states)
    #expect(try counter.run(x)["after"]?.floats == [11, 22])
    #expect(try sum.run([:])["sum"]?.floats == [33])
    #expect(try states.read("w").floats == [Float](repeating: 1, count: 256))

    let plan = counter.memoryPlan.with(sum.memoryPlan)
    #expect(plan.states == states.byteCount && sum.memoryPlan.states == states.byteCount)
    #expect(plan.activations == counter.memoryPlan.activations + sum.memoryPlan.activations)
    #expect(plan.total == counter.memoryPlan.total + sum.memoryPlan.total - states.byteCount)
  }

  @Test(arguments: Kind.allCases) func othersAreRefused(_ kind: Kind) throws {
    let backend = kind.backend
    let (counting, summing) = (try counting(), try summing())
    let foreign = try Kind.allCases.first { $0 != kind }?.backend.makeStates(for: [summing])
    let error = #expect(throws: ExecutionError.self) { try backend.compile(summing, states: try #require(foreign)) }
    guard case .foreignStates(let expected, let found) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(expected != found)
    #expect(throws: ExecutionError.missingState("w", TensorType([16, 16, 1, 1]))) {
      try backend.compile(counting, states: backend.makeStates(for: [summing]))
    }
    let builder = GraphBuilder()
    builder.output("y", builder.state("n", [3]))
    let three = try builder.finish()
    #expect(throws: ExecutionError.wrongType(name: "n", expected: TensorType([2]), found: TensorType([3]))) {
      try backend.compile(summing, states: backend.makeStates(for: [three]))
    }
    #expect(throws: ExecutionError.conflictingState("n", TensorType([2]), TensorType([3]))) {
      try backend.makeStates(for: [summing, three])
    }
    let states = try backend.makeStates(for: [summing])
    #expect(throws: ExecutionError.unknownState("m")) { try states.read("m") }
    #expect(throws: ExecutionError.unknownState("m")) { try states.write("m", TensorData(0)) }
    #expect(throws: ExecutionError.wrongType(name: "n", expected: TensorType([2]), found: TensorType(.scalar))) {
      try states.write("n", TensorData(0))
    }
  }

  /// A tensor that lives elsewhere.
  private struct Remote: DeviceTensor {
    var type: TensorType
    var numbers: TensorData
    func data() -> TensorData { numbers }
  }

  @Test(arguments: Kind.allCases) func outputsMayBeInputs(_ kind: Kind) throws {
    let executable = try kind.backend.compile(counting())
    let first = try executable.run(onDevice: ["x": Remote(type: TensorType([2]), numbers: Self.one)])
    let second = try executable.run(onDevice: ["x": try #require(first["after"])])
    #expect(try second["after"]?.data().floats == [2, 4])
    #expect(throws: ExecutionError.wrongType(name: "x", expected: TensorType([2]), found: TensorType(.scalar))) {
      try executable.run(onDevice: ["x": Remote(type: TensorType([2]), numbers: TensorData(1))])
    }
    #expect(throws: ExecutionError.missingInput("x", TensorType([2]))) { try executable.run([:]) }
  }

  /// Runs from several tasks follow one another: no update is lost, and no reader sees half of one.
  @Test(arguments: Kind.allCases) func tasksTakeTurns(_ kind: Kind) async throws {
    let backend = kind.backend
    let executable = try backend.compile(counting())
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask { for _ in 0..<500 { _ = try executable.run(x) } }
        group.addTask {
          for _ in 0..<500 {
            let n = try executable.states.read("n").floats
            #expect(n[1] == 2 * n[0])
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try executable.states.read("n").floats == [2000, 4000])
  }
}
