import CPUBackend
import TensorGraph
import TestSupport
import Testing

/// What `Precision.bfloat16` promises of whole programs.
@Suite("The CPU in bfloat16")
struct BFloat16Tests {
  private func backend(_ precision: CPUBackend.Precision, threads: Int = 2) -> CPUBackend {
    CPUBackend(.init(threads: threads, precision: precision))
  }

  private func worst(_ found: [Double], _ expected: [Double]) -> Double {
    zip(found, expected).map { abs($0 - $1) / abs($1) }.max() ?? .infinity
  }

  /// 16 bits where they are meant to be, and no further: loss and gradient norm of a small network follow those of 32.
  @Test func trainsAsIn32Bits() throws {
    let program = try TrainingStep().program()
    let expected = try TrainingStep().train(backend(.float32).compile(program), steps: 10)
    let found = try TrainingStep().train(backend(.bfloat16).compile(program), steps: 10)
    #expect(found.losses.count == 10 && found.norms.count == 10)
    #expect(worst(found.losses, expected.losses) < 0.01)
    #expect(worst(found.norms, expected.norms) < 0.05)
    #expect((found.losses != expected.losses) == CPUBackend.hasBFloat16)
  }

  /// The same bits from run to run.
  @Test func repeatsItself() throws {
    let program = try TrainingStep().program()
    let runs = try (0..<2).map { _ in try TrainingStep().train(backend(.bfloat16).compile(program), steps: 3) }
    #expect(runs[0].losses == runs[1].losses && runs[0].norms == runs[1].norms)
  }

  /// A run's arithmetic says what computed it: where the processor multiplies no bfloat16 that is float32.
  @Test func saysWhatComputes() {
    let narrow = backend(.bfloat16)
    #expect(narrow.arithmetic == (CPUBackend.hasBFloat16 ? "cpu bfloat16" : "cpu float32"))
    #expect(narrow.name.hasSuffix(", bfloat16") == CPUBackend.hasBFloat16)
    #expect(backend(.float32).arithmetic == "cpu float32" && !backend(.float32).name.contains("bfloat16"))
  }

  /// y = w ∗ x + b.
  private func convolving() throws -> Program {
    let builder = GraphBuilder()
    let w = builder.state("w", [16, 32, 3, 3])
    builder.output(
      "y", builder.input("x", [1, 32, 6, 5]).convolved(w, bias: builder.state("b", [16]), padding: .init(1)))
    return try builder.finish()
  }

  private func numbers(_ shape: Shape) -> TensorData {
    TensorData((0..<shape.count).map { Float($0 &* 40_503 & 0xFFFF) / 32_768 - 1 }, shape: shape)
  }

  /// Kernels that no program changes are kept in 16 bits, and what reads them sees what they were rounded to, whatever its precision.
  @Test func keepsConstantKernelsRounded() throws {
    let program = try convolving(), w = numbers([16, 32, 3, 3]), b = numbers([16]), x = numbers([1, 32, 6, 5])
    let states = try backend(.bfloat16).makeStates(for: [program])
    #expect(states.byteCount == (CPUBackend.hasBFloat16 ? 2 : 4) * w.shape.count + 4 * b.shape.count)
    #expect(try states.read("w").floats.allSatisfy { $0 == 0 })
    try states.write("w", w)
    try states.write("b", b)
    let rounded = try states.read("w")
    #expect(try states.read("b") == b)
    #expect((rounded != w) == CPUBackend.hasBFloat16)
    #expect(zip(rounded.floats, w.floats).allSatisfy { abs($0 - $1) <= 0x1p-8 * abs($1) })

    let exact = try ReferenceBackend().compile(program)
    try exact.states.write("w", rounded)
    try exact.states.write("b", b)
    let expected = try #require(try exact.run(["x": x])["y"]).floats
    for (precision, bound) in [(CPUBackend.Precision.float32, 1e-5), (.bfloat16, 0.02)] {
      let found = try #require(try backend(precision).compile(program, states: states).run(["x": x])["y"]).floats
      #expect(relativeError(found, expected.map(Double.init)) < bound)
    }
  }

  /// What a program changes is kept in 32 bits, and nothing else may be changed.
  @Test func keepsTrainedKernelsIn32Bits() throws {
    let builder = GraphBuilder()
    builder.update("w", builder.state("w", [16, 32, 3, 3]) * 2)
    let (program, doubling) = (try convolving(), try builder.finish())
    let backend = backend(.bfloat16), w = numbers([16, 32, 3, 3])
    let states = try backend.makeStates(for: [program, doubling])
    #expect(states.byteCount == 4 * (w.shape.count + 16))
    try states.write("w", w)
    _ = try backend.compile(doubling, states: states).run([:])
    #expect(try states.read("w").floats == w.floats.map { 2 * $0 })

    let constant = try backend.makeStates(for: [program])
    guard CPUBackend.hasBFloat16 else { return }
    #expect(throws: ExecutionError.roundedState("w")) { try backend.compile(doubling, states: constant) }
  }

  /// A convolution's result for one sample does not depend on what else is in the batch, nor on threads.
  @Test(arguments: [1, 3]) func aSampleDoesNotDependOnItsBatch(kernel: Int) throws {
    func run(_ samples: Range<Int>, threads: Int) throws -> [Float] {
      let builder = GraphBuilder()
      let x = builder.input("x", [samples.count, 48, 7, 9])
      let w = builder.state("w", [32, 48, kernel, kernel])
      builder.output("y", x.convolved(w, padding: .init(kernel / 2)))
      let executable = try backend(.bfloat16, threads: threads).compile(builder.finish())
      let size = 48 * 7 * 9
      func wave(_ i: Int) -> Float { Float(i &* 40_503 & 0xFFFF) / 32_768 - 1 }
      try executable.states.write("w", TensorData((0..<32 * 48 * kernel * kernel).map(wave), shape: w.shape))
      let pixels = (samples.lowerBound * size..<samples.upperBound * size).map(wave)
      return try #require(try executable.run(["x": TensorData(pixels, shape: x.shape)])["y"]).floats
    }
    let all = try run(0..<5, threads: 3), size = 32 * 7 * 9
    for sample in 0..<5 {
      #expect(try run(sample..<sample + 1, threads: 2) == Array(all[sample * size..<(sample + 1) * size]))
    }
  }
}
