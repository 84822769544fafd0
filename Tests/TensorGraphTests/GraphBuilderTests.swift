import TensorGraph
import TestSupport
import Testing

/// What is refused when a program is built, and in which words.
struct GraphBuilderTests {
  /// One wrong operator: what builds it, and the message.
  struct Mistake: Sendable, CustomTestStringConvertible {
    var message: String
    var build: @Sendable (GraphBuilder) -> Tensor

    init(_ message: String, _ build: @escaping @Sendable (GraphBuilder) -> Tensor) {
      self.message = message
      self.build = build
    }

    var testDescription: String { message }
  }

  static let mistakes: [Mistake] = [
    Mistake("add([2, 3], [2, 4]): the shapes do not broadcast") { $0.input("a", [2, 3]) + $0.input("b", [2, 4]) },
    Mistake("matmul([2, 3], [4, 5]): the inner dimensions 3 and 4 differ") {
      $0.input("a", [2, 3]).matmul($0.input("b", [4, 5]))
    },
    Mistake("matmul([3], [3, 2]): both operands need at least two dimensions") {
      $0.input("a", [3]).matmul($0.input("b", [3, 2]))
    },
    Mistake("matmul([2, 3, 4], [5, 4, 3]): the leading dimensions must be equal") {
      $0.input("a", [2, 3, 4]).matmul($0.input("b", [5, 4, 3]))
    },
    Mistake("convolution([1, 3, 8, 8], [4, 2, 3, 3]): the image has 3 channels and the kernel takes 2") {
      $0.input("x", [1, 3, 8, 8]).convolved($0.input("w", [4, 2, 3, 3]))
    },
    Mistake("convolution([1, 3, 2, 8], [4, 3, 3, 3]): the padded image 2 × 8 is smaller than the kernel") {
      $0.input("x", [1, 3, 2, 8]).convolved($0.input("w", [4, 3, 3, 3]))
    },
    Mistake("convolution([1, 3, 8, 8], [4, 3, 3, 3], [3]): the bias has shape [3], not [4]") {
      $0.input("x", [1, 3, 8, 8]).convolved($0.input("w", [4, 3, 3, 3]), bias: $0.input("b", [3]))
    },
    Mistake("convolution([1, 3, 8, 8], [4, 3, 3, 3]): stride 0 must be positive") {
      $0.input("x", [1, 3, 8, 8]).convolved($0.input("w", [4, 3, 3, 3]), stride: 0)
    },
    Mistake("convolution([3, 8, 8], [4, 3, 3, 3]): operand 0 must be an image (N, C, H, W)") {
      $0.input("x", [3, 8, 8]).convolved($0.input("w", [4, 3, 3, 3]))
    },
    Mistake("groupNorm([2, 6, 4], [6], [6]): 6 channels cannot be split into 4 groups") {
      $0.input("x", [2, 6, 4]).groupNorm($0.input("γ", [6]), $0.input("β", [6]), groups: 4, epsilon: 1e-5)
    },
    Mistake("groupNorm([2, 6, 4], [6], [5]): β has shape [5], not [6]") {
      $0.input("x", [2, 6, 4]).groupNorm($0.input("γ", [6]), $0.input("β", [5]), groups: 2, epsilon: 1e-5)
    },
    Mistake("softmax([]): a scalar has no axis") { $0.input("x", []).softmax() },
    Mistake("attention([1, 6, 4], [1, 6, 4], [1, 6, 4]): 6 channels cannot be split into 4 heads") {
      let x = $0.input("x", [1, 6, 4])
      return attention(q: x, k: x, v: x, heads: 4)
    },
    Mistake("attention([1, 6, 4], [1, 5, 4], [1, 5, 4]): q, k and v must be") {
      let k = $0.input("k", [1, 5, 4])
      return attention(q: $0.input("q", [1, 6, 4]), k: k, v: k)
    },
    Mistake("reshape([2, 3]): cannot become [4]: the element counts differ") { $0.input("x", [2, 3]).reshaped([4]) },
    Mistake("transpose([2, 3]): [0, 0] is no permutation") { $0.input("x", [2, 3]).transposed([0, 0]) },
    Mistake("concat([2, 3], [3, 3]): the shapes may differ along axis 1 only") {
      concat([$0.input("a", [2, 3]), $0.input("b", [3, 3])], axis: 1)
    },
    Mistake("concat([2], [2]): has no axis 1") { concat([$0.input("a", [2]), $0.input("b", [2])], axis: 1) },
    Mistake("slice([2, 3]): 2..<5 is no range within axis 1") { $0.input("x", [2, 3]).sliced(axis: 1, 2..<5) },
    Mistake("slice([2, 3]): 1..<1 is no range within axis 1") { $0.input("x", [2, 3]).sliced(axis: 1, 1..<1) },
    Mistake("slice([2, 3]): ") { $0.input("x", [2, 3]).split(axis: 1, parts: 2)[0] },
    Mistake("pad([2]): cannot pad by -1 and 0") { $0.input("x", [2]).padded(axis: 0, before: -1, after: 0) },
    Mistake("broadcast([2, 3]): does not broadcast to [3]") { $0.input("x", [2, 3]).broadcast(to: [3]) },
    Mistake("averagePool([1, 1, 5, 4]): height and width must be multiples of 2") {
      $0.input("x", [1, 1, 5, 4]).averagePooled(2)
    },
    Mistake("upsampleNearest([1, 1, 5, 4]): cannot upsample by 0") { $0.input("x", [1, 1, 5, 4]).upsampledNearest(0) },
    Mistake("sum([2, 3]): has no axis 2") { $0.input("x", [2, 3]).sum([2]) },
    Mistake("sum([2, 3]): axes [1, 1] repeat") { $0.input("x", [2, 3]).sum([1, 1]) },
    Mistake("gatherRows([5, 3], [2]): operand 1 must be int32") {
      $0.input("t", [5, 3]).gatherRows($0.input("i", [2]))
    },
    Mistake("exp(int32[2]): operand 0 must be floating point") { $0.input("i", [2], .int32).exp() },
    Mistake("sinusoidalEmbedding([3]): dimension 2 is too small for frequency shift 1.0") {
      $0.input("t", [3]).sinusoidalEmbedding(.init(dimension: 2, flipSinToCos: false, frequencyShift: 1))
    },
    Mistake("gaussianNoise(int32[3], int32[2]): wants counters (N, 2)") {
      .gaussianNoise(sample: [4], counters: $0.input("c", [3], .int32), key: $0.input("k", [2], .int32), stream: 0)
    },
    Mistake("dropoutMask(int32[3, 2], int32[2]): the rate 1.0 is not in 0..<1") {
      $0.input("x", [3, 4])
        .dropout(rate: 1, counters: $0.input("c", [3, 2], .int32), key: $0.input("k", [2], .int32), stream: 0)
    },
    Mistake("adam([2], [3], [2], [2], [2], [5]): gradient, moments and average") {
      let p = $0.input("p", [2])
      return $0.applyAll(.adam(Adam()), [p, $0.input("g", [3]), p, p, p, $0.input("s", [5])])[0]
    },
    Mistake("constant([2, 2]): has 3 elements") { $0.constant([1, 2, 3], shape: [2, 2]) },
    // Absurd and empty shapes.
    Mistake("input x([0, 3]): every dimension must be at least 1") { $0.input("x", [0, 3]) },
    Mistake("input x([2, -3]): every dimension must be at least 1") { $0.input("x", [2, -3]).exp() },
    Mistake("state x([65536, 65536]): every dimension must be at least 1, and the elements at most 2147483648") {
      $0.state("x", [65536, 65536])
    },
    Mistake("input x([\(Int.max), \(Int.max)]): every dimension") { $0.input("x", [.max, .max]).reshaped([4]).mean() },
    Mistake("constant([\(Int.max), 4]): every dimension") { $0.constant([1], shape: [.max, 4]) },
    Mistake("multiply([65536, 1], [1, 65536]): the result would have shape [65536, 65536]") {
      $0.input("a", [65536, 1]) * $0.input("b", [1, 65536])
    },
    Mistake("pad([2]): cannot pad by \(Int.max) and \(Int.max)") {
      $0.input("x", [2]).padded(axis: 0, before: .max, after: .max)
    },
    Mistake("convolution([1, 1, 2, 2], [1, 1, 2, 2]): ") {
      $0.input("x", [1, 1, 2, 2]).convolved($0.input("w", [1, 1, 2, 2]), padding: .init(.max))
    },
    Mistake("broadcast([1]): the result would have shape") { $0.input("x", [1]).broadcast(to: [1 << 20, 1 << 20]) },
    Mistake("gaussianNoise(int32[3, 2], int32[2]): the result would have shape [3, 0]") {
      .gaussianNoise(sample: [0], counters: $0.input("c", [3, 2], .int32), key: $0.input("k", [2], .int32), stream: 0)
    },
  ]

  @Test(arguments: mistakes) func mistakesNameOperatorAndShapes(_ mistake: Mistake) throws {
    let builder = GraphBuilder()
    builder.output("y", mistake.build(builder))
    let error = #expect(throws: ProgramError.self) { try builder.finish() }
    let message = error.map(\.description) ?? ""
    #expect(message.hasPrefix(mistake.message), "\(message)")
    #expect(!message.contains("\n"))
  }

  /// The rest of a network still builds after a mistake, gradients too; the first error is the one thrown.
  @Test func theFirstMistakeIsReported() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [2, 3])
    let wrong = x.matmul(x)
    let later = wrong.reshaped([100]).softmax().sum()
    builder.output("y", later)
    builder.output("d", builder.gradients(of: later, withRespectTo: [x])[0])
    let error = #expect(throws: ProgramError.self) { try builder.finish() }
    #expect(error?.description.hasPrefix("matmul([2, 3], [2, 3])") == true)
  }

  @Test func namesAreUnique() {
    func message(_ build: (GraphBuilder) -> Void) -> String? {
      let builder = GraphBuilder()
      build(builder)
      return #expect(throws: ProgramError.self) { try builder.finish() }?.description
    }
    #expect(
      message {
        _ = $0.input("x", [1])
        _ = $0.input("x", [1])
      } == "the name x is declared twice in the program")
    #expect(
      message {
        _ = $0.input("x", [1])
        _ = $0.state("x", [1])
      } == "the name x is declared twice in the program")
    #expect(
      message {
        let x = $0.input("x", [1])
        $0.output("y", x)
        $0.output("y", x)
      } == "the name y is declared twice in the program")
    #expect(
      message {
        let x = $0.state("x", [1])
        $0.update("x", x + 1)
        $0.update("x", x + 2)
      } == "the name x is declared twice in the program")
  }

  @Test func updatesFitTheirStates() {
    let builder = GraphBuilder()
    let s = builder.state("s", [2])
    builder.update("s", s.sum())
    #expect(throws: ProgramError.self) { try builder.finish() }
    let other = GraphBuilder()
    other.update("s", other.constant(1))
    let error = #expect(throws: ProgramError.self) { try other.finish() }
    #expect(error?.description == "there is no state s to update")
  }

  @Test func gradientsAreOfScalars() {
    let builder = GraphBuilder()
    let x = builder.input("x", [2])
    _ = builder.gradients(of: x, withRespectTo: [x])
    let error = #expect(throws: ProgramError.self) { try builder.finish() }
    #expect(error?.description == "gradients are of a scalar, not of [2]: take a mean or a sum first")
  }

  @Test func gradientsOfGradientsOfConvolutionsAreRefused() {
    let builder = GraphBuilder()
    let x = builder.input("x", [1, 1, 3, 3])
    let loss = x.convolved(builder.input("w", [1, 1, 2, 2])).squared().sum()
    let d = builder.gradients(of: loss, withRespectTo: [x])[0]
    _ = builder.gradients(of: d.squared().sum(), withRespectTo: [x])
    let error = #expect(throws: ProgramError.self) { try builder.finish() }
    #expect(error?.description == "convolutionInputGradient has no gradient")
  }

  /// Rather than giving a gradient that leaves them out.
  @Test func gradientsOfStatisticsAreRefused() {
    let builder = GraphBuilder()
    let x = builder.input("x", [1, 2, 3])
    let γ = builder.input("gamma", [2])
    let results = builder.applyAll(.groupNorm(GroupNorm(groups: 1, epsilon: 1)), [x, γ, γ])
    _ = builder.gradients(of: results[0].sum() + results[1].sum(), withRespectTo: [x])
    let error = #expect(throws: ProgramError.self) { try builder.finish() }
    #expect(error?.description == "a later result of groupNorm has no gradient")
  }

  /// A target that the loss does not reach has gradient zero, in its own shape.
  @Test func unreachedTargetsHaveGradientZero() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [2])
    let z = builder.input("z", [2, 2])
    builder.output("d", builder.gradients(of: x.sum(), withRespectTo: [z])[0])
    let d = try ReferenceBackend().compileExact(builder.finish()).runExact(["x": [1, 2], "z": [1, 2, 3, 4]])["d"]
    #expect(d == [0, 0, 0, 0])
  }

  /// The loss itself may be a target, and a tensor used often gathers all its gradients.
  @Test func gradientsAccumulate() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [])
    // y = x³ + 2x: y′ = 3x² + 2
    let y = x * x * x + 2 * x
    let d = builder.gradients(of: y, withRespectTo: [x, y])
    builder.output("dx", d[0])
    builder.output("dy", d[1])
    // Differentiable once more, as no operator of its own is involved: y″ = 6x
    builder.output("ddx", builder.gradients(of: d[0], withRespectTo: [x])[0])
    let outputs = try ReferenceBackend().compileExact(builder.finish()).runExact(["x": [2]])
    #expect(outputs["dx"] == [14])
    #expect(outputs["dy"] == [1])
    #expect(outputs["ddx"] == [12])
  }

  // MARK: Dead nodes

  @Test func deadNodesGoAndInterfaceStays() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [4])
    _ = builder.input("unused", [2])
    _ = builder.state("idle", [3])
    _ = x.exp().log()
    builder.output("y", x.sin())
    let program = try builder.finish()
    let operators = program.nodes.map(\.op)
    #expect(operators == [.input("x"), .input("unused"), .state("idle"), .unary(.sin)])
    #expect(program.inputs.map(\.name) == ["x", "unused"])
    #expect(program.states.map(\.name) == ["idle"])
  }

  /// Only the gradients that are asked for are computed: no gradient of a weight for the first layer's image alone.
  @Test func unwantedGradientsAreNotComputed() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [1, 2, 4, 4])
    let w = builder.state("w", [3, 2, 3, 3])
    let loss = x.convolved(w).squared().sum()
    builder.output("dw", builder.gradients(of: loss, withRespectTo: [w])[0])
    let kinds = try builder.finish().nodes.map { OperatorKind($0.op) }
    #expect(kinds.contains(.convolutionWeightGradient))
    #expect(!kinds.contains(.convolutionInputGradient))
  }

  /// Equal operators of equal operands are one node; the order of operands and the operator's own numbers count.
  @Test func equalExpressionsAreComputedOnce() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [4])
    let y = builder.input("y", [4])
    builder.output("same", x.exp() * y + x.exp() * y)
    builder.output("other", (y - x) * (x - y) + 2 * x + 3 * x)
    // exp, *, + and −, −, *, two scales, +, +
    #expect(try builder.finish().nodes.count == 2 + 3 + 7)
    let noise = GraphBuilder()
    let counters = noise.input("counters", [1, 2], .int32)
    let key = noise.input("key", [2], .int32)
    let z = (0..<2).map { Tensor.gaussianNoise(sample: [3], counters: counters, key: key, stream: $0) }
    noise.output("z", z[0] - z[1])
    #expect(try noise.finish().nodes.count == 5)
  }

  // MARK: Verification

  @Test func verifyFindsBrokenPrograms() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [4])
    builder.output("y", x.exp().sum())
    let program = try builder.finish()

    var shuffled = program
    shuffled.nodes.swapAt(1, 2)
    let early = #expect(throws: ShapeError.self) { try shuffled.verify() }
    #expect(early?.description == "sum([4]): an operand is used before it is computed")

    var mistyped = program
    mistyped.types[program.nodes[1].results[0]] = TensorType([5])
    let wrong = #expect(throws: ShapeError.self) { try mistyped.verify() }
    #expect(wrong?.description.hasPrefix("exp([4]): the results are not") == true)
  }

  @Test func programsPrintOneLineANode() throws {
    let builder = GraphBuilder()
    builder.output("y", builder.input("x", [2, 3]).sum([1]))
    #expect(try builder.finish().description == "%0 = input x() : [2, 3]\n%1 = sum(%0) : [2]")
  }
}
