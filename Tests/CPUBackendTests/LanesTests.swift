import CPUBackend
import TensorGraph
import TestSupport
import Testing

/// Threads that take rows of their own, each running the whole program.
@Suite("Rows shared by threads", .enabled(if: !CPUBackend.hasAMX, "with AMX all threads share every operator"))
struct LanesTests {
  private static let rows = 2

  private func options(_ precision: CPUBackend.Precision = .float32) -> CPUBackend.Options {
    CPUBackend.Options(threads: 3, precision: precision)
  }

  /// Convolutions with weights that are kept transformed, a norm, attention, a table's rows: (2, 16, 8, 8) → (2, 32, 8, 8).
  private func program() throws -> Program {
    let (builder, n) = (GraphBuilder(), LanesTests.rows)
    let x = builder.input("x", [n, 16, 8, 8])
    let (w, u) = (builder.state("w", [32, 16, 3, 3]), builder.state("u", [32, 32]))
    let (gamma, beta) = (builder.state("gamma", [32]), builder.state("beta", [32]))
    let rows = builder.state("table", [4, 32]).gatherRows(builder.input("label", [n], .int32))
    let scaled = rows * builder.input("scale", [32])
    let h = x.convolved(w, padding: .init(1)).groupNorm(gamma, beta, groups: 8, epsilon: 1e-5, silu: true)
    let tokens = (h + scaled.reshaped([n, 32, 1, 1])).convolved(u.reshaped([32, 32, 1, 1])).reshaped([n, 32, 64])
    builder.output("y", attention(q: tokens, k: tokens, v: tokens).reshaped([n, 32, 8, 8]) + h)
    builder.output("first", x.sum() * 0 + 1)
    return try builder.finish()
  }

  private func numbers(_ shape: Shape, _ seed: Int) -> TensorData {
    let floats = (0..<shape.count).map { (index: Int) -> Float in
      Float((index * 7 + seed) * (index + 3) % 31) / 40 - 0.3
    }
    return TensorData(floats, shape: shape)
  }

  private func start(_ states: any States, _ seed: Int) throws {
    for (name, type) in states.types { try states.write(name, numbers(type.shape, seed)) }
  }

  @Test(arguments: CPUBackend.Precision.allCases)
  func everyRowIsAsAlone(_ precision: CPUBackend.Precision) throws {
    let backend = CPUBackend(options(precision))
    let shared = backend.sharing(rows: 3 * LanesTests.rows)
    #expect(shared.deviceCount == 3)
    #expect(backend.sharing(rows: 5).deviceCount == 1)
    let program = try program()
    let (together, alone) = (try shared.compile(program), try backend.compile(program))
    #expect(together.memoryPlan.prepared == alone.memoryPlan.prepared)

    let x = numbers([3 * LanesTests.rows, 16, 8, 8], 1)
    let (labels, scale) = ([3, 0, 1, 1, 2, 3] as [Int32], numbers([32], 5))
    // Written again, for what is derived from states.
    for seed in 2...3 {
      for executable in [together, alone] { try start(executable.states, seed) }
      let found = try together.run(["x": x, "label": TensorData(labels, shape: [6]), "scale": scale])
      var expected: [Float] = []
      for lane in 0..<3 {
        let own = Array(x.floats[lane * 2048..<(lane + 1) * 2048])
        let y = try alone.run([
          "x": TensorData(own, shape: [2, 16, 8, 8]), "scale": scale,
          "label": TensorData(Array(labels[lane * 2..<lane * 2 + 2]), shape: [2]),
        ])["y"]
        expected += try #require(y).floats
      }
      #expect(found["y"] == TensorData(expected, shape: [6, 32, 8, 8]))
      #expect(found["first"] == TensorData(1))
    }
  }

  /// The error of one thread is the run's, and the next run is none the worse.
  @Test func oneRowsErrorIsTheRuns() throws {
    let executable = try CPUBackend(options()).sharing(rows: 6).compile(program())
    try start(executable.states, 1)
    var inputs = [
      "x": numbers([6, 16, 8, 8], 1), "label": TensorData([0 as Int32, 1, 2, 9, 1, 1], shape: [6]),
      "scale": numbers([32], 2),
    ]
    #expect(throws: ExecutionError.indexOutOfRange(op: "gatherRows", index: 9, count: 4)) {
      try executable.run(inputs)
    }
    inputs["label"] = TensorData([0 as Int32, 1, 2, 3, 1, 1], shape: [6])
    let found = try executable.run(inputs)
    #expect(found["y"]?.floats.allSatisfy { $0.isFinite } == true)
    inputs["x"] = numbers([4, 16, 8, 8], 1)
    #expect(throws: ExecutionError.self) { try executable.run(inputs) }
  }

  @Test func profilesTellThemApart() throws {
    var options = options()
    options.profiles = true
    let executable = try CPUBackend(options).sharing(rows: 6).compile(program())
    try start(executable.states, 1)
    _ = try executable.run([
      "x": numbers([6, 16, 8, 8], 1), "label": TensorData([0 as Int32, 1, 2, 3, 1, 1], shape: [6]),
      "scale": numbers([32], 2),
    ])
    let profile = try #require((executable as? CPUExecutable)?.profile)
    #expect(profile.lanes == 3)
    #expect(Set(profile.events.compactMap(\.lane)) == [0, 1, 2])
    let attention = try #require(profile.rows.first { $0.label == "attention" })
    #expect(attention.count == 3)
    // All three, of which each passes a third of the time.
    let spans = profile.events.filter { profile.labels[$0.step] == "attention" }.map { $0.end - $0.start }
    #expect(abs(attention.seconds - spans.reduce(0, +) / 3) < 1e-9)
    #expect(profile.chromeTrace.contains(#""tid":3"#))
  }
}
