import CPUBackend
import TensorGraph
import TestSupport
import Testing

@Suite("Compiled programs on the CPU")
struct ExecutableTests {
  private let backend = CPUBackend(.init(threads: 2))

  /// A small training step: convolution, norm, attention, loss, gradients, Adam.
  private func trainingStep() throws -> Program {
    let builder = GraphBuilder()
    let x = builder.input("x", [2, 16, 8, 8])
    let counters = builder.input("counters", [2, 2], .int32)
    let key = builder.input("key", [2], .int32)
    let w = builder.state("w", [32, 16, 3, 3])
    let (gamma, beta) = (builder.state("gamma", [32]), builder.state("beta", [32]))
    let noise = Tensor.gaussianNoise(sample: [16, 8, 8], counters: counters, key: key, stream: 1)
    let h = (x + noise).convolved(w, padding: .init(1)).groupNorm(gamma, beta, groups: 8, epsilon: 1e-5, silu: true)
    let tokens = h.reshaped([2, 32, 64])
    let loss = attention(q: tokens, k: tokens, v: tokens).squared().mean()
    builder.output("loss", loss)
    let parameters: [(name: String, tensor: Tensor)] = [("w", w), ("gamma", gamma), ("beta", beta)]
    builder.optimize(
      parameters, gradients: builder.gradients(of: loss, withRespectTo: parameters.map(\.tensor)), with: Adam())
    return try builder.finish()
  }

  private func inputs(step: Int32) -> [String: TensorData] {
    let adam = Adam().inputs(.init(step: 1, learningRate: 1e-3, emaDecay: 0.99))
    return adam.merging([
      "x": TensorData((0..<2048).map { Float($0 % 13) / 6 - 1 }, shape: [2, 16, 8, 8]),
      "counters": TensorData([0, step, 1, step], shape: [2, 2]), "key": TensorData([7 as Int32, 9], shape: [2]),
    ]) { $1 }
  }

  private func start(_ states: any States) throws {
    try states.write("w", TensorData((0..<4608).map { Float($0 % 17) / 80 - 0.1 }, shape: [32, 16, 3, 3]))
    try states.write("gamma", TensorData([Float](repeating: 1, count: 32), shape: [32]))
  }

  @Test func repeatsBitForBit() throws {
    let program = try trainingStep()
    let weights = try (0..<2).map { _ in
      let executable = try backend.compile(program)
      try start(executable.states)
      for step in 1...5 { _ = try executable.run(inputs(step: Int32(step))) }
      return try ["w", "adam.v.w", "ema.gamma"].map(executable.states.read)
    }
    #expect(weights[0] == weights[1])
    let w = weights[0][0].floats
    #expect(w.allSatisfy { $0.isFinite })
  }

  /// What a step computes a second time is the same to the last bit.
  @Test(arguments: CPUBackend.Precision.allCases)
  func recomputingSavesMemoryAlone(_ precision: CPUBackend.Precision) throws {
    let backend = CPUBackend(.init(threads: 2, precision: precision))
    var step = TrainingStep()
    step.batch = 32
    let program = try step.program()
    let executables = try [program, program.recomputing(beyond: 0)].map { try backend.compile($0) }
    let runs = try executables.map { try step.train($0, steps: 3) }
    #expect(runs[0].losses == runs[1].losses && runs[0].norms == runs[1].norms)
    #expect(executables[1].memoryPlan.activations < executables[0].memoryPlan.activations)
  }

  /// y = w₂ ∗ (w₁ x) of images of side × side: w₁ a linear layer at every pixel, whose weights are held in another layout than convolutions
  /// read.
  private func constantWeights(samples: Int, channels: Int = 16, side: Int = 4) throws -> Program {
    let builder = GraphBuilder()
    let x = builder.input("x", [samples, channels, side, side])
    let (w1, w2) = (builder.state("w1", [channels, channels]), builder.state("w2", [channels, channels, 3, 3]))
    builder.output("y", x.convolved(w1.reshaped([channels, channels, 1, 1])).convolved(w2, padding: .init(1)))
    return try builder.finish()
  }

  @Test(arguments: CPUBackend.Precision.allCases)
  func whatIsDerivedFromConstantWeightsFollowsThem(_ precision: CPUBackend.Precision) throws {
    let program = try constantWeights(samples: 1)
    let fixed = CPUBackend(.init(threads: 2, precision: precision))
    let (ours, reference) = (try fixed.compile(program), try ReferenceBackend().compile(program))
    let x = ["x": TensorData((0..<256).map { Float($0 % 13) / 6 - 1 }, shape: [1, 16, 4, 4])]
    for value in [Float(1), -2] {
      for states in [ours.states, reference.states] {
        try states.write("w1", TensorData((0..<256).map { value * Float($0 % 7 - 3) / 8 }, shape: [16, 16]))
        try states.write("w2", TensorData((0..<2304).map { value + Float($0 % 11) / 4 }, shape: [16, 16, 3, 3]))
      }
      let expected = try #require(try reference.run(x)["y"])
      for _ in 0..<2 {
        // Weights that are stale are as far off as the result is large; AMX's halves of operands, where terms cancel, by 1.5e-5.
        #expect(relativeError(try #require(try ours.run(x)["y"]), expected) < (precision == .float32 ? 1e-4 : 2e-2))
      }
    }
  }

  /// What is computed from several states is computed anew when any of them was written.
  @Test func whatIsMadeOfConstantWeightsFollowsEach() throws {
    let builder = GraphBuilder()
    let (a, b) = (builder.state("a", [16, 16]), builder.state("b", [16, 16]))
    let x = builder.input("x", [1, 16, 2, 2])
    let both = builder.applyAll(.concat(axis: 0), [a, b * 3])[0].sum([1]).sliced(axis: 0, 8..<24)
    let weights = a.matmul(b, transposeA: true) + b.matmul(a, transposeB: true)
    builder.output("y", x.convolved(weights.reshaped([16, 16, 1, 1]), bias: both))
    let program = try builder.finish()
    let executables = try [backend, ReferenceBackend()].map { (backend: any Backend) in try backend.compile(program) }
    let image = TensorData((0..<64).map { Float($0 % 13) / 6 - 1 }, shape: [1, 16, 2, 2])
    var results: [TensorData] = []
    for (name, value) in [("a", Float(1)), ("b", 2), ("a", -1), ("b", 5)] {
      let weights = TensorData((0..<256).map { value * Float($0 % 7 - 3) / 8 + 0.25 }, shape: [16, 16])
      for executable in executables { try executable.states.write(name, weights) }
      for _ in 0..<2 {
        let found = try executables.map { try #require(try $0.run(["x": image])["y"]) }
        #expect(relativeError(found[0], found[1]) < 1e-4)
        results.append(found[0])
      }
    }
    #expect(Set(results.map(\.floats)).count == 4)
  }

  /// Few channels and many, for which Winograd's weights are transformed once or as they are used; a tile an image, and four.
  @Test(arguments: CPUBackend.Precision.allCases, [(16, 4), (96, 4), (96, 7), (272, 4)])
  func aSampleDoesNotDependOnItsBatch(_ precision: CPUBackend.Precision, _ size: (channels: Int, side: Int)) throws {
    let fixed = CPUBackend(.init(threads: 2, precision: precision))
    let (channels, count) = (size.channels, size.channels * size.side * size.side)
    let pixels = (0..<count).map { Float($0 % 13) / 6 - 1 }
    let results = try [1, 3, 20].map { samples in
      let executable = try fixed.compile(
        try constantWeights(samples: samples, channels: channels, side: size.side))
      let (w1, w2) = (channels * channels, channels * channels * 9)
      try executable.states.write(
        "w1", TensorData((0..<w1).map { Float($0 % 7 - 3) / 8 }, shape: [channels, channels]))
      try executable.states.write(
        "w2", TensorData((0..<w2).map { Float($0 % 11) / 4 }, shape: [channels, channels, 3, 3]))
      let x = TensorData(
        [[Float]](repeating: pixels, count: samples).flatMap { $0 }, shape: [samples, channels, size.side, size.side])
      return try #require(try executable.run(["x": x])["y"]).floats
    }
    for result in results {
      for sample in 0..<result.count / count {
        #expect(Array(result[sample * count..<(sample + 1) * count]) == results[0])
      }
    }
  }

  /// Channels that norms and convolutions alone read together stay where they are; others, such as what the run gives back, are copied.
  @Test(arguments: CPUBackend.Precision.allCases, [1, 3])
  func concatenationsAreReadInParts(_ precision: CPUBackend.Precision, samples: Int) throws {
    func program(givingBoth: Bool) throws -> Program {
      let builder = GraphBuilder()
      let x = builder.input("x", [samples, 16, 8, 8])
      let ones = builder.constant([Float](repeating: 1, count: 48), shape: [48])
      func normalised(_ x: Tensor) -> Tensor {
        let (scale, c) = (ones.sliced(axis: 0, 0..<x.shape[1]), x.shape[1])
        return x.groupNorm(scale, builder.state("beta\(c)", [c]), groups: 4, epsilon: 1e-5, silu: true)
      }
      let skip = x.convolved(builder.state("a", [16, 16, 3, 3]), padding: .init(1))
      let h = normalised(skip).convolved(builder.state("b", [32, 16, 3, 3]), padding: .init(1))
      let both = builder.applyAll(.concat(axis: 1), [h, skip])[0]
      if givingBoth { builder.output("both", both) }
      let bias = builder.state("bias", [32])
      let shortcut = both.convolved(builder.state("c", [32, 48, 1, 1]), bias: bias)
      builder.output(
        "y", shortcut + normalised(both).convolved(builder.state("d", [32, 48, 3, 3]), padding: .init(1)))
      return try builder.finish()
    }
    var options = CPUBackend.Options(threads: 2, precision: precision)
    options.profiles = true
    for givingBoth in [false, true] {
      let program = try program(givingBoth: givingBoth)
      let executables = try [CPUBackend(options), ReferenceBackend()].map { (b: any Backend) in try b.compile(program) }
      let x = TensorData((0..<samples * 1024).map { Float($0 * $0 % 31) / 15 - 1 }, shape: [samples, 16, 8, 8])
      for round in 0..<2 {
        let found = try executables.map { executable in
          for (name, type) in executable.states.types where round == 0 {
            try executable.states.write(
              name, TensorData((0..<type.shape.count).map { Float($0 * 7 % 17) / 80 - 0.1 }, shape: type.shape))
          }
          return try #require(try executable.run(["x": x])["y"])
        }
        #expect(relativeError(found[0], found[1]) < (precision == .float32 ? 1e-4 : 3e-2))
        // The parts of weights follow them.
        for executable in executables {
          try executable.states.write(
            "c", TensorData((0..<32 * 48).map { Float($0 * 5 % 13) / 9 - 1 }, shape: [32, 48, 1, 1]))
        }
      }
      let ours = try #require(executables[0] as? CPUExecutable)
      if !CPUBackend.hasAMX {
        #expect(ours.profile?.labels.count { $0 == "concat" } == (givingBoth ? 1 : 0))
      }
    }
  }

  @Test func refusesWhatDoesNotFitBeforeAllocating() throws {
    let builder = GraphBuilder()
    // 8 GiB each; more of them than any test machine has.
    let states = (0..<512).map { builder.state("s\($0)", [1 << 31]) }
    builder.output("sum", sumOfSquares(states))
    let program = try builder.finish()
    do {
      _ = try backend.compile(program)
      Issue.record("4 TiB were not refused")
    } catch let error as ExecutionError {
      guard case .outOfMemory(let needed, _) = error else { throw error }
      #expect(needed >= 512 << 33)
      #expect(error.description.contains("needs") && error.description.contains("MiB"))
    }
  }

  /// What the run gives back is the old value of a state, however its new value is written: as a copy or in place, read directly
  /// or through a view, by an output or by another state's update.
  @Test func oldValuesLastToTheEnd() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [2, 3])
    let n = builder.state("n", [2, 3])
    builder.update("n", n + x)
    builder.output("n", n)
    builder.output("row of n", n.sliced(axis: 0, 0..<1))
    for (kind, read) in [
      ("direct", { $0 }), ("view", { $0.reshaped([6]) }), ("slice", { $0.sliced(axis: 0, 1..<2) }),
      ("detached", { $0.detached() }),
    ] as [(String, (Tensor) -> Tensor)] {
      let p = builder.state("\(kind).p", [2, 3])
      let moments = ["m", "v", "ema"].map { builder.state("\(kind).\($0)", [2, 3]) }
      let schedule = builder.constant([0.5, 0.1, 0.1, 1, 0.9], shape: [5])
      let next = builder.applyAll(.adam(Adam()), [p, x, moments[0], moments[1], moments[2], schedule])
      builder.update("\(kind).p", next[0])
      // Read after the update's place in the program.
      builder.output("\(kind) after", read(p) * read(next[0]))
      _ = builder.state("\(kind).kept", read(p).shape)
      builder.update("\(kind).kept", read(moments[2]))
      builder.update("\(kind).ema", next[3])
    }
    let program = try builder.finish()
    let results = try [ReferenceBackend() as any Backend, backend].map { backend in
      let executable = try backend.compile(program)
      for (index, name) in executable.states.types.keys.sorted().enumerated() {
        let shape = executable.states.types[name]?.shape ?? []
        let numbers = (0..<shape.count).map { Float($0 + 1) / Float(index + 1) }
        try executable.states.write(name, TensorData(numbers, shape: shape))
      }
      let outputs = try executable.run(["x": TensorData([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3])])
      let states = try executable.states.types.keys.map { ($0, try executable.states.read($0)) }
      return outputs.merging(states) { $1 }
    }
    for (name, expected) in results[0] {
      #expect(relativeError(try #require(results[1][name]), expected) < 1e-6, "\(name)")
    }
  }

  @Test func plansMemoryByLifetime() throws {
    let plan = try backend.compile(trainingStep()).memoryPlan
    #expect(plan.activations < plan.unsharedActivations)
    #expect(plan.states >= 4 * (4608 + 64) * 4)
  }
}
