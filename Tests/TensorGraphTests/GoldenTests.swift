import TensorGraph
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The operators on the reference backend against 64-bit values of PyTorch, diffusers and mpmath: Golden/operators.json, made by
/// scripts/golden/tensor_operators.py.
struct GoldenTests {
  @Test(arguments: Golden.operators.filter { !$0.name.hasPrefix("adam") }) func agreesWithPyTorch(_ golden: Golden)
    throws
  {
    let build = try #require(Self.builders[golden.name], "no program for this golden case")
    let builder = GraphBuilder()
    var leaves: [String: Tensor] = [:]
    for (name, data) in golden.inputs {
      leaves[name] = builder.input(name, Shape(data.shape), data.dtype == "int32" ? .int32 : .float)
    }
    let results = try build(Leaves(builder: builder, named: leaves))
    for (index, y) in results.enumerated() { builder.output("y\(index)", y) }

    let targets = golden.outputs.keys.filter { $0.hasPrefix("d.") }.sorted()
    if !targets.isEmpty {
      let loss = try results.enumerated().map { ($1 * (try #require(leaves["weight.y\($0)"]))).sum() }.reduce(
        builder.constant(0), +)
      let gradients = builder.gradients(
        of: loss, withRespectTo: try targets.map { try #require(leaves[String($0.dropFirst(2))]) })
      for (name, gradient) in zip(targets, gradients) { builder.output(name, gradient) }
    }

    let outputs = try ReferenceBackend().compileExact(builder.finish()).runExact(golden.inputs.mapValues(\.values))
    #expect(Set(outputs.keys) == Set(golden.outputs.keys))
    for (name, expected) in golden.outputs {
      let found = try #require(outputs[name])
      let error = relativeError(found, expected)
      #expect(error <= 1e-12, "\(name): \(found), not \(expected)")
    }
  }

  /// The left tail is the logarithm of a number that underflows, the right tail a logarithm near zero: every element to 1e-13.
  @Test func logNormalCDFKeepsItsDigitsInBothTails() throws {
    let golden = try #require(Golden.operators.first { $0.name == "logNormalCDF in both tails" })
    for (x, expected) in zip(try #require(golden.inputs["x"]).values, try #require(golden.outputs["y0"])) {
      let found = UnaryOp.logNormalCDF(x)
      #expect(abs(found - expected) <= 1e-13 * abs(expected), "log Φ(\(x)) = \(found), not \(expected)")
    }
  }

  @Test(arguments: [("adam", 0.0), ("adamw", 0.1)]) func threeStepsOfAdam(_ name: String, _ weightDecay: Double) throws
  {
    let golden = try #require(Golden.operators.first { $0.name == name })
    let builder = GraphBuilder()
    let adam = Adam(beta1: 0.8, beta2: 0.99, epsilon: 1e-6, weightDecay: weightDecay)
    let gradient = builder.input("g", [5])
    let schedule = builder.input("schedule", [5])
    let names = ["p", "m", "v", "ema"]
    let states = names.map { builder.state($0, [5]) }
    let next = builder.applyAll(.adam(adam), [states[0], gradient, states[1], states[2], states[3], schedule])
    for (name, value) in zip(names, next) { builder.update(name, value) }
    let executable = try ReferenceBackend().compileExact(builder.finish())

    let start = try #require(golden.inputs["p"]).values
    try executable.exactStates.writeExact("p", start)
    try executable.exactStates.writeExact("ema", start)
    let gradients = try #require(golden.inputs["gradients"]).values
    var power = (1.0, 1.0)
    for step in 0..<3 {
      power = (power.0 * 0.8, power.1 * 0.99)
      let g = Array(gradients[step * 5..<step * 5 + 5])
      _ = try executable.runExact(["g": g, "schedule": [0.01, 1 - power.0, 1 - power.1, 0.5, 0.9]])
      for name in ["p", "ema"] {
        let expected = Array(try #require(golden.outputs[name])[step * 5..<step * 5 + 5])
        #expect(relativeError(try executable.exactStates.readExact(name), expected) <= 1e-13)
      }
    }
    for name in ["m", "v"] {
      #expect(relativeError(try executable.exactStates.readExact(name), try #require(golden.outputs[name])) <= 1e-13)
    }
  }
}

/// One case of the file. NaN and infinity are strings there, as JSON has no numbers for them.
struct Golden: Decodable, Sendable, CustomTestStringConvertible {
  struct Data: Decodable {
    var shape: [Int]
    var dtype: String
    var values: [Double]
  }

  var name: String
  var inputs: [String: Data]
  var outputs: [String: [Double]]

  var testDescription: String { name }

  static let operators: [Golden] = {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden/operators.json")
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    do {
      return try decoder.decode([Golden].self, from: .init(contentsOf: file))
    } catch {
      Issue.record(error, "cannot read \(file.path)")
      return []
    }
  }()
}

/// The inputs of a golden case by name.
struct Leaves {
  let builder: GraphBuilder
  let named: [String: Tensor]

  func callAsFunction(_ name: String) throws -> Tensor { try #require(named[name], "the golden case has no \(name)") }
}

extension GoldenTests {
  typealias Build = @Sendable (Leaves) throws -> [Tensor]

  static let builders: [String: Build] = {
    var all = images.merging(others) { $1 }
    for (name, function) in functions {
      all[name] = { [try $0("x").unary(function)] }
      all["\(name) of NaN and infinity"] = { [try $0("x").unary(function)] }
    }
    for function in BinaryOp.allCases {
      for kind in [" of NaN and infinity", ", broadcast", " with ties"] {
        all["\(function)\(kind)"] = { [$0.builder.apply(.binary(function), [try $0("a"), try $0("b")])] }
      }
    }
    for (dimension, flip, shift) in [(8, false, 1.0), (8, true, 0), (7, false, 0), (6, true, 1)] {
      let embedding = SinusoidalEmbedding(dimension: dimension, flipSinToCos: flip, frequencyShift: shift)
      all["sinusoidalEmbedding \(dimension) \(flip) \(Int(shift))"] = { [try $0("t").sinusoidalEmbedding(embedding)] }
    }
    return all
  }()

  private static let functions: [(String, UnaryOp)] =
    ([
      .negate, .reciprocal, .square, .squareRoot, .reciprocalSquareRoot, .absolute, .exp, .log, .log1p, .expm1, .sin,
      .cos, .tanh, .sigmoid, .softplus, .erf, .erfc, .logNormalCDF, .relu, .silu, .mish, .gelu, .clamp(-0.5, 0.75),
      .scale(-1.75), .offset(0.3),
    ] as [UnaryOp]).map { ($0.name, $0) }

  private static func convolution(stride: Int, _ padding: Convolution.Padding) -> Build {
    { try [$0("x").convolved($0("w"), bias: $0("b"), stride: stride, padding: padding)] }
  }

  private static let images: [String: Build] = [
    "convolution": convolution(stride: 1, .init(1)),
    "convolution, stride 2": convolution(stride: 2, .init(1)),
    "convolution, padded right and bottom": convolution(stride: 2, .init(top: 0, left: 0, bottom: 1, right: 1)),
    "convolution, padded at will": convolution(stride: 1, .init(top: 1, left: 2, bottom: 3, right: 0)),
    "convolution 1×1, no bias": { [try $0("x").convolved($0("w"))] },
    "groupNorm": { [try $0("x").groupNorm($0("gamma"), $0("beta"), groups: 2, epsilon: 1e-3)] },
    "groupNorm, shift and silu": {
      [try $0("x").groupNorm($0("gamma"), $0("beta"), groups: 3, epsilon: 1e-6, shift: $0("shift"), silu: true)]
    },
    "attention, two heads": { [attention(q: try $0("q"), k: try $0("k"), v: try $0("v"), heads: 2)] },
    "attention, one head": { [attention(q: try $0("q"), k: try $0("k"), v: try $0("v"))] },
    "upsampleNearest": { [try $0("x").upsampledNearest(2)] },
    "averagePool": { [try $0("x").averagePooled(2)] },
    "residual block": { x in
      func norm(_ y: Tensor, _ name: String, shift: Tensor? = nil) throws -> Tensor {
        y.groupNorm(
          try x("\(name).weight"), try x("\(name).bias"), groups: 2, epsilon: 1e-5, shift: shift, silu: true)
      }
      func conv(_ y: Tensor, _ name: String, padding: Int) throws -> Tensor {
        y.convolved(try x("\(name).weight"), bias: try x("\(name).bias"), padding: .init(padding))
      }
      let t = try x("t").silu().linear(x("time_emb_proj.weight"), x("time_emb_proj.bias"))
      let first = try conv(norm(x("x"), "norm1"), "conv1", padding: 1)
      let second = try conv(norm(first, "norm2", shift: t), "conv2", padding: 1)
      return [try second + conv(x("x"), "conv_shortcut", padding: 0)]
    },
  ]

  private static let others: [String: Build] = [
    "softmax": { [try $0("x").softmax()] },
    "softmax of NaN and infinity": { [try $0("x").softmax()] },
    "softmax, transposed and sliced": { [try $0("x").transposed([1, 2, 0]).softmax().sliced(axis: 1, 1..<4)] },
    "logNormalCDF in both tails": { [try $0("x").unary(.logNormalCDF)] },
    "matmul, batched": { [try $0("a").matmul($0("b"))] },
    "matmul, one right operand for all": { [try $0("a").matmul($0("b"))] },
    "matmul, one left operand for all": { [try $0("a").matmul($0("b"))] },
    "matmul, both transposed": { [try $0("a").matmul($0("b"), transposeA: true, transposeB: true)] },
    "linear": { [try $0("x").linear($0("w"), $0("b"))] },
    "gatherRows": { [try $0("table").gatherRows($0("i"))] },
    "meanSquaredError": { [try $0("a").meanSquaredError($0("b"))] },
    // Several steps with a state: see `threeStepsOfAdam`.
  ]
}
