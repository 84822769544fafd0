import TensorGraph
import Testing

/// One operator on given shapes: a program with its numbers, the same on every backend and in every run.
///
/// `OperatorCase.all` is the one table of operators that all backends are tested with. A new operator gets a line there; the test
/// `everyOperatorIsInTheTable` fails until it has one.
public struct OperatorCase: Sendable, CustomTestStringConvertible {
  public let name: String
  public let leaves: [Leaf]
  public let tolerance: Tolerance
  /// How its leaves become its results; all of them floating point.
  let build: @Sendable (GraphBuilder, [Tensor]) -> [Tensor]

  init(
    _ name: String, _ leaves: [Leaf], tolerance: Tolerance = .direct,
    _ build: @escaping @Sendable (GraphBuilder, [Tensor]) -> [Tensor]
  ) {
    self.name = name
    self.leaves = leaves
    self.tolerance = tolerance
    self.build = build
  }

  public var testDescription: String { name }

  /// The relative L2 error that a 32-bit backend may have against the reference backend.
  public enum Tolerance: Sendable {
    case direct
    /// 3 × 3 convolutions of stride 1 may be computed by Winograd's algorithm, which rounds more.
    case winograd

    public var forward: Double { self == .direct ? 1e-5 : 1e-4 }
    public var gradient: Double { self == .direct ? 1e-4 : 5e-4 }
  }

  /// A tensor that the case is given.
  public struct Leaf: Sendable {
    public let name: String
    public let type: TensorType
    /// Whether it can be a state rather than an input: a weight, which a backend may keep in a layout of its own.
    public let isParameter: Bool
    /// Whether the gradient with respect to it is tested.
    public let isDifferentiable: Bool
    let fill: Fill
  }

  /// Whether some leaves hold NaN or infinity: then results must agree in kind, element by element, and gradients are not compared.
  public var isSpecial: Bool {
    leaves.contains {
      if case .values(let values) = $0.fill { values.contains { !$0.isFinite } } else { false }
    }
  }

  public var hasGradients: Bool { !isSpecial && leaves.contains(where: \.isDifferentiable) }

  /// Whether the reference backend needs more than a blink, so that only comparisons of backends run it, not finite differences.
  public var isLarge: Bool { leaves.reduce(0) { $0 + $1.type.shape.count } > 6000 }
}

// MARK: - The program

extension OperatorCase {
  /// What the leaves marked as parameters become.
  public enum Parameters: Sendable { case inputs, states }

  /// The program with outputs `y0`, `y1`, …; with `gradients`, also `d.NAME` for each differentiable leaf: the gradient of
  /// Σ y · weight over all results, where the weights are further inputs `weight.y0`, `weight.y1`, ….
  public func program(gradients: Bool = false, parameters: Parameters = .inputs) throws -> Program {
    let builder = GraphBuilder()
    let tensors = leaves.map { leaf in
      leaf.isParameter && parameters == .states
        ? builder.state(leaf.name, leaf.type.shape) : builder.input(leaf.name, leaf.type.shape, leaf.type.dtype)
    }
    let results = build(builder, tensors)
    for (index, result) in results.enumerated() { builder.output("y\(index)", result) }
    if gradients {
      let losses = results.enumerated().map { ($1 * builder.input("weight.y\($0)", $1.shape)).sum() }
      let targets = zip(leaves, tensors).filter { $0.0.isDifferentiable }
      let found = builder.gradients(
        of: losses.dropFirst().reduce(losses[0], +), withRespectTo: targets.map { $0.1 })
      for (target, gradient) in zip(targets, found) { builder.output("d.\(target.0.name)", gradient) }
    }
    return try builder.finish()
  }

  /// The numbers for every input of `program`.
  public func inputs(for program: Program) -> [String: TensorData] {
    var result: [String: TensorData] = [:]
    for input in program.inputs {
      let type = program.types[input.value]
      let leaf = leaves.first { $0.name == input.name }
      result[input.name] = (leaf?.fill ?? .normal).data(type, seed: "\(name)/\(input.name)")
    }
    return result
  }

  /// The numbers for every state of `program`.
  public func states(for program: Program) -> [String: TensorData] {
    var result: [String: TensorData] = [:]
    for state in program.states {
      guard let leaf = leaves.first(where: { $0.name == state.name }) else { continue }
      result[state.name] = leaf.fill.data(leaf.type, seed: "\(name)/\(leaf.name)")
    }
    return result
  }

  /// Compiles the case for `backend`, writes its states and runs it.
  public func run(
    on backend: some Backend, gradients: Bool = false, parameters: Parameters = .inputs
  ) throws -> [String: TensorData] {
    let program = try program(gradients: gradients, parameters: parameters)
    let executable = try backend.compile(program)
    for (name, data) in states(for: program) { try executable.states.write(name, data) }
    return try executable.run(inputs(for: program))
  }
}

// MARK: - Leaves and their numbers

extension OperatorCase.Leaf {
  /// Floating-point data, of whose gradient the test asks.
  static func data(_ name: String, _ shape: Shape, _ fill: Fill = .normal) -> Self {
    Self(name: name, type: TensorType(shape), isParameter: false, isDifferentiable: true, fill: fill)
  }

  /// A weight.
  static func parameter(_ name: String, _ shape: Shape, _ fill: Fill = .normal) -> Self {
    Self(name: name, type: TensorType(shape), isParameter: true, isDifferentiable: true, fill: fill)
  }

  /// Floating-point data that has no gradient.
  static func fixed(_ name: String, _ shape: Shape, _ fill: Fill = .normal) -> Self {
    Self(name: name, type: TensorType(shape), isParameter: false, isDifferentiable: false, fill: fill)
  }

  static func integers(_ name: String, _ shape: Shape, _ range: Range<Int>) -> Self {
    Self(
      name: name, type: TensorType(shape, .int32), isParameter: false, isDifferentiable: false,
      fill: .integers(range))
  }
}

/// How a leaf is filled.
enum Fill: Sendable {
  case normal
  case uniform(ClosedRange<Double>)
  /// Uniform, but no nearer than 0.05 to the given points, where a function has a kink.
  case avoiding([Double], ClosedRange<Double>)
  /// Uniform, of either sign.
  case magnitude(ClosedRange<Double>)
  case integers(Range<Int>)
  /// These, over and over.
  case values([Float])

  /// NaN, the infinities, both zeros, and some numbers.
  static let specials = values([.nan, .infinity, -.infinity, 0, -0.0, 1, -1, 20, -20, 0.5, -0.5])

  func data(_ type: TensorType, seed: String) -> TensorData {
    var random = SplitMix64(seed: seed)
    let count = type.shape.count
    func fill(_ next: () -> Double) -> TensorData {
      TensorData((0..<count).map { _ in Float(next()) }, shape: type.shape)
    }
    switch self {
    case .normal: return fill { random.normal() }
    case .uniform(let range): return fill { random.uniform(range) }
    case .avoiding(let points, let range):
      return fill {
        while true {
          let x = random.uniform(range)
          if points.allSatisfy({ abs($0 - x) > 0.05 }) { return x }
        }
      }
    case .magnitude(let range): return fill { random.uniform(range) * (random.next() % 2 == 0 ? 1 : -1) }
    case .integers(let range):
      return TensorData((0..<count).map { _ in Int32(Int.random(in: range, using: &random)) }, shape: type.shape)
    case .values(let values): return TensorData((0..<count).map { values[$0 % values.count] }, shape: type.shape)
    }
  }
}

/// Steele, Lea & Flood's SplitMix64 (2014): independent of the generator under test.
public struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  /// Seeds with the FNV-1a hash of `seed`.
  public init(seed: String) {
    state = seed.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  public mutating func uniform(_ range: ClosedRange<Double>) -> Double { Double.random(in: range, using: &self) }

  /// The sum of twelve uniforms: normal enough, without transcendental functions.
  public mutating func normal() -> Double { (0..<12).reduce(-6) { sum, _ in sum + uniform(0...1) } }
}

// MARK: - Comparison

/// ‖found − expected‖ / ‖expected‖, where the denominator is at least that of elements of 0.01: what is zero in exact arithmetic
/// has no relative error. Infinite where the counts differ or one has a NaN or infinity that the other has not.
public func relativeError(_ found: [Double], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  var (error, norm) = (0.0, 0.0)
  for (a, b) in zip(found, expected) where !(a == b || (a.isNaN && b.isNaN)) {
    error += (a - b) * (a - b)
  }
  for b in expected where b.isFinite { norm += b * b }
  let result = error.squareRoot() / max(norm.squareRoot(), 0.01 * Double(expected.count).squareRoot())
  return result.isNaN ? .infinity : result
}

/// The same of 32-bit results.
public func relativeError(_ found: TensorData, _ expected: TensorData) -> Double {
  guard found.type == expected.type else { return .infinity }
  return relativeError(found.floats.map(Double.init), expected.floats.map(Double.init))
}
