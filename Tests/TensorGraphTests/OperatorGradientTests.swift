import TensorGraph
import TestSupport
import Testing

@Test func everyOperatorIsInTheTable() throws {
  var operators: Set<OperatorKind> = [.state]
  var functions: Set<UnaryKind> = []
  var pairs: Set<BinaryOp> = []
  for entry in OperatorCase.all {
    for node in try entry.program(gradients: entry.hasGradients).nodes {
      operators.insert(OperatorKind(node.op))
      if case .unary(let function) = node.op { functions.insert(UnaryKind(function)) }
      if case .binary(let function) = node.op { pairs.insert(function) }
    }
  }
  #expect(Set(OperatorKind.allCases).subtracting(operators).isEmpty)
  #expect(Set(UnaryKind.allCases).subtracting(functions).isEmpty)
  #expect(Set(BinaryOp.allCases).subtracting(pairs).isEmpty)
}

@Test func namesInTheTableAreUnique() {
  let names = OperatorCase.all.map(\.name)
  #expect(Set(names).count == names.count)
}

/// ∂L/∂x from the graph against (L(x + h) − L(x − h)) / 2h, all in 64 bits: element by element, and along a random direction.
@Test(arguments: OperatorCase.all.filter { $0.hasGradients && !$0.isLarge })
func gradientsAgreeWithFiniteDifferences(_ entry: OperatorCase) throws {
  let backend = ReferenceBackend()
  let program = try entry.program(gradients: true)
  let inputs = entry.inputs(for: program).mapValues { $0.floats.map(Double.init) }
  let outputs = try backend.compileExact(program).runExact(inputs)

  // The loss is computed here, not by the program under test.
  let forward = try backend.compileExact(try entry.program())
  func loss(_ leaf: String, _ x: [Double]) throws -> Double {
    var given = inputs.filter { !$0.key.hasPrefix("weight.") }
    given[leaf] = x
    return try forward.runExact(given).reduce(0) { sum, result in
      let weights = try #require(inputs["weight.\(result.key)"])
      return sum + zip(result.value, weights).reduce(0) { $0 + $1.0 * $1.1 }
    }
  }

  for leaf in entry.leaves where leaf.isDifferentiable {
    let x = try #require(inputs[leaf.name])
    let gradient = try #require(outputs["d.\(leaf.name)"])
    try #require(gradient.count == x.count)
    let scale = max(1, gradient.map(abs).max() ?? 0)
    func derivative(along direction: [Double]) throws -> Double {
      let h = 1e-5
      let plus = try loss(leaf.name, zip(x, direction).map { $0 + h * $1 })
      let minus = try loss(leaf.name, zip(x, direction).map { $0 - h * $1 })
      return (plus - minus) / (2 * h)
    }

    var random = SplitMix64(seed: "\(entry.name)/\(leaf.name)/directions")
    let elements = x.count <= 12 ? Array(x.indices) : (0..<12).map { _ in Int.random(in: x.indices, using: &random) }
    for i in elements {
      var unit = [Double](repeating: 0, count: x.count)
      unit[i] = 1
      let expected = try derivative(along: unit)
      #expect(abs(gradient[i] - expected) <= 1e-7 * scale, "d.\(leaf.name)[\(i)]: \(gradient[i]), not \(expected)")
    }

    let direction = x.map { _ in random.uniform(-1...1) / Double(x.count).squareRoot() }
    let expected = try derivative(along: direction)
    let found = zip(gradient, direction).reduce(0) { $0 + $1.0 * $1.1 }
    #expect(abs(found - expected) <= 1e-7 * scale, "along a direction of \(leaf.name): \(found), not \(expected)")
  }
}

/// A weight is the same weight as an input and as a state.
@Test(arguments: OperatorCase.all.filter { $0.leaves.contains(where: \.isParameter) && $0.hasGradients && !$0.isLarge })
func parametersMayBeStates(_ entry: OperatorCase) throws {
  let asInputs = try entry.run(on: ReferenceBackend(), gradients: true)
  let asStates = try entry.run(on: ReferenceBackend(), gradients: true, parameters: .states)
  #expect(asInputs == asStates)
}

/// Every case, large ones too, runs on the reference backend and gives numbers where it was given numbers.
@Test(arguments: OperatorCase.all)
func everyCaseRuns(_ entry: OperatorCase) throws {
  let outputs = try entry.run(on: ReferenceBackend(), gradients: entry.hasGradients)
  #expect(!outputs.isEmpty)
  if !entry.isSpecial {
    for (name, data) in outputs {
      let isFinite = data.floats.allSatisfy { $0.isFinite }
      #expect(isFinite, "\(name) has NaN or infinity")
    }
  }
}
