import CPUBackend
import TensorGraph
import TestSupport
import Testing

/// Every operator and its gradient, on this backend against the reference backend, with each family of convolutions.
@Suite("Operators on the CPU")
struct OperatorTests {
  enum Family: String, CaseIterable, CustomTestStringConvertible {
    case amx, winograd, direct, bfloat16

    var testDescription: String { rawValue }

    var backend: CPUBackend {
      let algorithms: Set<ConvolutionAlgorithm> =
        switch self {
        case .amx: [.amx, .direct]
        case .winograd: [.winograd, .thin, .direct]
        case .direct: [.direct]
        case .bfloat16: [.amx, .bfloat16, .thin, .direct]
        }
      return CPUBackend(
        .init(threads: 2, precision: self == .bfloat16 ? .bfloat16 : .float32, algorithms: algorithms))
    }

    /// The relative L2 error that it may have: the table's, or what operands of 8 bits leave, most in Winograd's convolutions, whose
    /// maps make 4.6 times of it.
    func bound(_ operatorCase: OperatorCase, _ name: String) -> Double {
      let isGradient = name.hasPrefix("d.")
      guard self == .bfloat16 else {
        return isGradient ? operatorCase.tolerance.gradient : operatorCase.tolerance.forward
      }
      return switch operatorCase.tolerance {
      case .direct: isGradient ? 1e-2 : 5e-3
      case .winograd: isGradient ? 3e-2 : 1.6e-2
      }
    }
  }

  @Test(arguments: OperatorCase.all)
  func agreesWithTheReference(_ operatorCase: OperatorCase) throws {
    let hasConvolution = try operatorCase.program(gradients: operatorCase.hasGradients).nodes.contains { node in
      if case .convolution = node.op { true } else { false }
    }
    let expected = try operatorCase.run(on: ReferenceBackend(), gradients: operatorCase.hasGradients)
    for family in hasConvolution ? Family.allCases : [.amx, .bfloat16] {
      for parameters in [OperatorCase.Parameters.inputs, .states] {
        let found = try operatorCase.run(
          on: family.backend, gradients: operatorCase.hasGradients, parameters: parameters)
        try compare(found, expected, operatorCase, family)
      }
    }
  }

  /// Both backends drop an element whose 24-bit uniform number lies below the rate rounded to Float, though the whole word lies
  /// above the rate.
  @Test func dropoutMasksAgreeAtTheRate() throws {
    let counter = SIMD4<UInt32>(0, 5, 9, RandomStream.dropout.rawValue)
    let words = (0..<1000).lazy.map {
      Philox4x32.block(counter: counter &+ SIMD4(UInt32($0), 0, 0, 0), key: SIMD2(3, 4))
    }
    // In the upper half Floats are 2⁻²⁴ apart, so that a low byte above 128 rounds up.
    let index = try #require(words.firstIndex { $0[0] >= 1 << 31 && $0[0] & 0xFF > 192 && $0[0] < 0xF000_0000 })
    let rate = (Double(words[index][0]) + 0.25) * 0x1p-32
    let builder = GraphBuilder()
    let mask = builder.input("x", [1, 4000]).dropout(
      rate: rate, counters: builder.input("counters", [1, 2], .int32), key: builder.input("key", [2], .int32),
      stream: RandomStream.dropout.rawValue)
    builder.output("y", mask)
    let program = try builder.finish()
    let inputs: [String: TensorData] = [
      "x": TensorData([Float](repeating: 1, count: 4000), shape: [1, 4000]),
      "counters": TensorData([Int32(5), 9], shape: [1, 2]), "key": TensorData([Int32(3), 4], shape: [2]),
    ]
    let masks = try [ReferenceBackend() as any Backend, Family.direct.backend].map { backend in
      try #require(try backend.compile(program).run(inputs)["y"]).floats.map { $0 != 0 }
    }
    #expect(masks[0] == masks[1])
    #expect(!masks[0][4 * index])
    #expect(masks[0].contains(true))
  }

  private func compare(
    _ found: [String: TensorData], _ expected: [String: TensorData], _ operatorCase: OperatorCase, _ family: Family
  ) throws {
    #expect(Set(found.keys) == Set(expected.keys))
    for (name, reference) in expected {
      let result = try #require(found[name])
      #expect(result.shape == reference.shape)
      if operatorCase.isSpecial {
        expectSameKinds(result.floats, reference.floats, "\(family) \(name)")
      } else {
        let bound = family.bound(operatorCase, name)
        let error = relativeError(result.floats, reference.floats)
        #expect(error <= bound, "\(family) \(name): relative L2 error \(error) > \(bound)")
      }
    }
  }

  /// NaN where there is NaN, the same infinities, and finite numbers that agree.
  private func expectSameKinds(_ found: [Float], _ expected: [Float], _ what: String) {
    #expect(found.count == expected.count)
    for (index, (a, b)) in zip(found, expected).enumerated() {
      let agrees = b.isNaN ? a.isNaN : b.isInfinite ? a == b : a.isFinite && abs(a - b) <= 1e-4 * max(1, abs(b))
      #expect(agrees, "\(what)[\(index)] is \(a), expected \(b)")
    }
  }
}

/// ‖found − expected‖ / ‖expected‖. Where the expectation is zero in exact arithmetic (the gradient of a shift before a norm of
/// one channel a group, say) a relative error means nothing: then the root mean square of what was found.
func relativeError(_ found: [Float], _ expected: [Float]) -> Double {
  var difference = 0.0
  var norm = 0.0
  for (a, b) in zip(found, expected) {
    difference += (Double(a) - Double(b)) * (Double(a) - Double(b))
    norm += Double(b) * Double(b)
  }
  guard difference.isFinite else { return .infinity }
  let count = Double(max(1, expected.count))
  return norm / count < 1e-12 ? (difference / count).squareRoot() : (difference / norm).squareRoot()
}
