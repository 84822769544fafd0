import TensorGraph
import TestSupport
import Testing

private func floats(_ elements: [Float], _ shape: Shape) -> TensorData { TensorData(elements, shape: shape) }
private func int32(_ elements: [Int32], _ shape: Shape) -> TensorData { TensorData(elements, shape: shape) }

/// What every executable promises, on the backend that promises nothing else.
struct ReferenceBackendTests {
  let backend = ReferenceBackend()

  // MARK: Inputs

  private func doubling() throws -> Program {
    let builder = GraphBuilder()
    builder.output("y", 2 * builder.input("x", [2, 2]))
    return try builder.finish()
  }

  @Test func missingInputIsNamed() throws {
    let executable = try backend.compile(doubling())
    let expected = ExecutionError.missingInput("x", TensorType([2, 2]))
    #expect(throws: expected) { try executable.run([:]) }
    #expect(expected.description == "input x [2, 2] was not given")
  }

  @Test func unknownInputIsNamed() throws {
    let executable = try backend.compile(doubling())
    let x = floats([1, 2, 3, 4], [2, 2])
    let expected = ExecutionError.unknownInput("z", known: ["x"])
    #expect(throws: expected) { try executable.run(["x": x, "z": x]) }
    #expect(expected.description == "there is no input z; the inputs are x")
    #expect(throws: expected) {
      try backend.compileExact(doubling()).runExact(["x": [1, 2, 3, 4], "z": []])
    }
  }

  @Test func wrongShapeAndTypeAreNamed() throws {
    let executable = try backend.compile(doubling())
    let expected = TensorType([2, 2])
    #expect(throws: ExecutionError.wrongType(name: "x", expected: expected, found: TensorType([4]))) {
      try executable.run(["x": floats([1, 2, 3, 4], [4])])
    }
    #expect(throws: ExecutionError.wrongType(name: "x", expected: expected, found: TensorType([2, 2], .int32))) {
      try executable.run(["x": int32([1, 2, 3, 4], [2, 2])])
    }
    #expect(throws: ExecutionError.wrongType(name: "x", expected: expected, found: TensorType([3]))) {
      try backend.compileExact(doubling()).runExact(["x": [1, 2, 3]])
    }
  }

  @Test(arguments: [-1, 3] as [Int32]) func indexOutOfRangeIsNamed(_ index: Int32) throws {
    let builder = GraphBuilder()
    let table = builder.input("table", [3, 2])
    let i = builder.input("i", [2], .int32)
    builder.output("y", table.gatherRows(i))
    let executable = try backend.compile(builder.finish())
    let expected = ExecutionError.indexOutOfRange(op: "gatherRows", index: Int(index), count: 3)
    #expect(throws: expected) {
      try executable.run([
        "table": floats([Float](repeating: 0, count: 6), [3, 2]), "i": int32([0, index], [2]),
      ])
    }
    #expect(expected.description == "gatherRows: index \(index) is not in 0..<3")

    let scatter = GraphBuilder()
    let rows = scatter.input("rows", [1])
    let at = scatter.input("i", [1], .int32)
    scatter.output("y", scatter.apply(.scatterAddRows(count: 3), [rows, at]))
    #expect(throws: ExecutionError.indexOutOfRange(op: "scatterAddRows", index: Int(index), count: 3)) {
      try backend.compile(scatter.finish()).run([
        "rows": floats([1], [1]), "i": int32([index], [1]),
      ])
    }
  }

  // MARK: States

  /// n ← n + x, giving the old and the new.
  private func counter() throws -> Program {
    let builder = GraphBuilder()
    let n = builder.state("n", [2])
    let next = n + builder.input("x", [2])
    builder.update("n", next)
    builder.output("before", n)
    builder.output("after", next)
    return try builder.finish()
  }

  @Test func statesStartAtZeroAndPersist() throws {
    let executable = try backend.compile(counter())
    #expect(try executable.states.read("n") == floats([0, 0], [2]))
    let x = ["x": floats([1, 2], [2])]
    _ = try executable.run(x)
    let second = try executable.run(x)
    #expect(second["before"] == floats([1, 2], [2]))
    #expect(second["after"] == floats([2, 4], [2]))
    #expect(try executable.states.read("n") == floats([2, 4], [2]))
    try executable.states.write("n", floats([7, 8], [2]))
    #expect(try executable.run(x)["before"] == floats([7, 8], [2]))
  }

  /// Two states that trade places: updates take effect together, after everything has been read.
  @Test func updatesTakeEffectAtTheEnd() throws {
    let builder = GraphBuilder()
    let a = builder.state("a", [])
    let b = builder.state("b", [])
    builder.update("a", b)
    builder.update("b", a)
    let executable = try backend.compile(builder.finish())
    try executable.states.write("a", TensorData(1))
    try executable.states.write("b", TensorData(2))
    #expect(try executable.run([:]).isEmpty)
    #expect(try executable.states.read("a") == TensorData(2))
    #expect(try executable.states.read("b") == TensorData(1))
  }

  @Test func statesAreSharedByName() throws {
    let builder = GraphBuilder()
    builder.output("sum", builder.state("n", [2]).sum())
    builder.output("other", builder.state("other", [3]).sum())
    let (counter, sums) = (try counter(), try builder.finish())
    let states = try backend.makeStates(for: [counter, sums])
    #expect(states.types == ["n": TensorType([2]), "other": TensorType([3])])
    #expect(states.byteCount == 5 * 8)
    let (first, second) = (try backend.compile(counter, states: states), try backend.compile(sums, states: states))
    _ = try first.run(["x": floats([3, 4], [2])])
    #expect(try second.run([:])["sum"] == TensorData(7))
    try states.write("n", floats([1, 1], [2]))
    #expect(try first.run(["x": floats([0, 0], [2])])["before"] == floats([1, 1], [2]))
    #expect(first.memoryPlan.with(second.memoryPlan).states == 5 * 8)
  }

  @Test func statesThatDoNotFitAreRefused() throws {
    let (counter, other) = (try counter(), GraphBuilder())
    other.output("y", other.state("n", [3]))
    let three = try other.finish()
    let conflict = ExecutionError.conflictingState("n", TensorType([2]), TensorType([3]))
    #expect(throws: conflict) { try backend.makeStates(for: [counter, three]) }
    #expect(conflict.description == "state n is [2] in one program and [3] in another")
    #expect(throws: ExecutionError.wrongType(name: "n", expected: TensorType([2]), found: TensorType([3]))) {
      try backend.compile(counter, states: backend.makeStates(for: [three]))
    }
    #expect(throws: ExecutionError.missingState("n", TensorType([2]))) {
      try backend.compile(counter, states: backend.makeStates(for: []))
    }
  }

  @Test func unknownAndWrongStatesAreNamed() throws {
    let executable = try backend.compile(counter())
    #expect(throws: ExecutionError.unknownState("m")) { try executable.states.read("m") }
    #expect(throws: ExecutionError.unknownState("m")) { try executable.states.write("m", TensorData(0)) }
    #expect(throws: ExecutionError.wrongType(name: "n", expected: TensorType([2]), found: TensorType([1]))) {
      try executable.states.write("n", floats([0], [1]))
    }
  }

  @Test func exactStatesKeepAllBits() throws {
    let executable = try backend.compileExact(counter())
    try executable.exactStates.writeExact("n", [0.1, 1e-300])
    #expect(try executable.exactStates.readExact("n") == [0.1, 1e-300])
    #expect(try executable.runExact(["x": [0, 0]])["after"] == [0.1, 1e-300])
  }

  @Test func anInputMayBeAnOutput() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [2], .int32)
    builder.output("x", x)
    let data = int32([3, -4], [2])
    #expect(try backend.compile(builder.finish()).run(["x": data])["x"] == data)
  }

  /// x (8 numbers) → a → b → c: two of the four live at a time.
  @Test func memoryPlanFollowsLifetimes() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [8])
    _ = builder.state("s", [3])
    builder.output("y", x.exp().sin().cos())
    let plan = try backend.compile(builder.finish()).memoryPlan
    #expect(plan == MemoryPlan(states: 24, activations: 2 * 64, unsharedActivations: 4 * 64, scratch: 0))
  }

  // MARK: Randomness

  /// Element j of a sample is lane j % 4 of the block at (j / 4, sample, step, stream), whichever batch it is in.
  @Test func noiseHasAnAddress() throws {
    let seed: UInt64 = 0xFEDC_BA98_7654_3210
    let key = [Int32(bitPattern: 0x7654_3210), Int32(bitPattern: 0xFEDC_BA98)]
    func noise(_ counters: [Int32]) throws -> [Float] {
      let builder = GraphBuilder()
      let n = counters.count / 2
      builder.output(
        "z",
        Tensor.gaussianNoise(
          sample: [5, 3], counters: builder.input("counters", [n, 2], .int32), key: builder.input("key", [2], .int32),
          stream: RandomStream.decoder.rawValue))
      let executable = try backend.compile(builder.finish())
      let outputs = try executable.run(["counters": int32(counters, [n, 2]), "key": int32(key, [2])])
      return try #require(outputs["z"]).floats
    }
    func expected(sample: UInt32, step: UInt32) -> [Float] {
      [Float](unsafeUninitializedCapacity: 15) { buffer, count in
        Philox4x32.fill(
          normals: .init(rebasing: buffer[..<15]), seed: seed, sample: sample, step: step, stream: .decoder)
        count = 15
      }
    }
    #expect(try noise([4, 9, -1, 2]) == expected(sample: 4, step: 9) + expected(sample: .max, step: 2))
    #expect(try noise([4, 9]) == expected(sample: 4, step: 9))
  }

  @Test(arguments: [0.1, 0.5]) func dropoutKeepsItsShare(_ rate: Double) throws {
    let builder = GraphBuilder()
    let ones = builder.constant([1], shape: [1]).broadcast(to: [4, 10_000])
    builder.output(
      "y",
      ones.dropout(
        rate: rate, counters: builder.input("counters", [4, 2], .int32), key: builder.input("key", [2], .int32),
        stream: 3))
    let outputs = try backend.compile(builder.finish()).run([
      "counters": int32([0, 0, 1, 0, 2, 0, 0, 1], [4, 2]), "key": int32([1, 2], [2]),
    ])
    let y = try #require(outputs["y"]).floats
    let kept = y.filter { $0 != 0 }
    #expect(Set(kept) == [Float(1 / (1 - rate))])
    // Within five standard deviations of a binomial.
    let deviation = (rate * (1 - rate) / 40_000).squareRoot()
    #expect(abs(Double(kept.count) / 40_000 - (1 - rate)) < 5 * deviation)
    // Samples and steps differ.
    let masks = (0..<4).map { n in Array(y[n * 10_000..<(n + 1) * 10_000]) }
    #expect(Set(masks).count == 4)
  }

  // MARK: Closed forms

  /// At the bounds the gradient of clamp is 1, outside 0.
  @Test func clampHasGradientOneAtItsBounds() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [5])
    builder.output("d", builder.gradients(of: x.clamped(to: -1...2).sum(), withRespectTo: [x])[0])
    let d = try backend.compileExact(builder.finish()).runExact(["x": [-1.5, -1, 0, 2, 2.5]])["d"]
    #expect(d == [0, 1, 1, 1, 0])
  }

  /// Attention of equal scores is the mean of v, and log Σ exp 0 = log L.
  @Test func attentionOfEqualScoresIsTheMean() throws {
    let builder = GraphBuilder()
    let q = builder.input("q", [1, 2, 3])
    let results = builder.applyAll(.attention(Attention(heads: 1, scale: 1)), [q, 0 * q, q])
    builder.output("o", results[0])
    builder.output("logSumExp", results[1])
    let y = try backend.compileExact(builder.finish()).runExact(["q": [1, 2, 6, -1, 0, 4]])
    #expect(relativeError(y["o"] ?? [], [3, 3, 3, 1, 1, 1]) < 1e-15)
    #expect(relativeError(y["logSumExp"] ?? [], [Double](repeating: 1.098_612_288_668_109_8, count: 3)) < 1e-15)
  }

  /// The statistics that group normalisation hands to its gradient: the mean of x + shift, and 1/√(variance + ε).
  @Test func groupNormGivesItsStatistics() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [1, 2, 2])
    let one = builder.constant([1, 1], shape: [2])
    let zero = builder.constant([0, 0], shape: [2])
    let shift = builder.constant([10, 20], shape: [1, 2])
    let results = builder.applyAll(.groupNorm(GroupNorm(groups: 1, epsilon: 0.5)), [x, one, zero, shift])
    for (name, result) in zip(["y", "mean", "rstd"], results) { builder.output(name, result) }
    let y = try backend.compileExact(builder.finish()).runExact(["x": [1, 3, -9, -7]])
    // x + shift = 11, 13, 11, 13: mean 12, variance 1.
    let rstd = 1 / 1.5.squareRoot()
    #expect(y["mean"] == [12])
    #expect(relativeError(y["rstd"] ?? [], [rstd]) < 1e-15)
    #expect(relativeError(y["y"] ?? [], [-rstd, rstd, -rstd, rstd]) < 1e-15)
  }
}
