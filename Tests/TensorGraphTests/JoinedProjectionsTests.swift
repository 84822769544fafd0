import TensorGraph
import TestSupport
import Testing

/// Two maps of every pixel in place of four around an attention of one head.
@Suite struct JoinedProjectionsTests {
  private static let channels = 6

  /// y = h + W_o attention(W_q h, W_k g, W_v h), g another image.
  private func program(
    heads: Int = 1, biased: Set<String> = ["q", "k", "v", "o"], changing: String? = nil, giving given: String? = nil
  ) throws -> Program {
    let builder = GraphBuilder()
    let c = Self.channels
    let h = builder.input("h", [2, c, 2, 3])
    let g = builder.input("g", [2, c, 2, 3])
    func map(_ name: String, _ x: Tensor) -> Tensor {
      let weight = builder.state("\(name).weight", [c, c])
      let bias = biased.contains(name) ? builder.state("\(name).bias", [c]) : nil
      let y = x.convolved(weight.reshaped([c, c, 1, 1]), bias: bias)
      if name == given { builder.output(name, y) }
      return y
    }
    let maps = [map("q", h), map("k", g), map("v", h)].map { $0.reshaped([2, c, 6]) }
    let mixed = attention(q: maps[0], k: maps[1], v: maps[2], heads: heads)
    if given == "mixed" { builder.output("mixed", mixed) }
    builder.output("y", h + map("o", mixed.reshaped([2, c, 2, 3])))
    if let changing { builder.update(changing, builder.input("new", [c, c])) }
    return try builder.finish()
  }

  private func convolutions(_ program: Program) -> Int {
    program.nodes.count { if case .convolution = $0.op { true } else { false } }
  }

  /// Numbers in [−1, 1], different for each name.
  private func numbers(_ name: String, _ count: Int) -> [Double] {
    let seed = Double(name.unicodeScalars.reduce(0) { 31 * $0 % 1009 + Int($1.value) })
    return (0..<count).map { (seed + 1.7 * Double($0) * Double($0 + 1)).remainder(dividingBy: 2) }
  }

  private func run(_ program: Program) throws -> [String: [Double]] {
    let executable = try ReferenceBackend().compileExact(program)
    for (name, type) in executable.states.types {
      try executable.states.write(
        name, TensorData(numbers(name, type.shape.count).map(Float.init), shape: type.shape))
    }
    return try executable.runExact(
      Dictionary(
        uniqueKeysWithValues: program.inputs.map {
          ($0.name, numbers($0.name, program.types[$0.value].shape.count))
        }))
  }

  @Test(arguments: [["q", "k", "v", "o"], [], ["q"], ["k"], ["v"], ["o"]] as [Set<String>])
  func joinedIsEqual(biased: Set<String>) throws {
    let program = try program(biased: biased)
    let joined = try program.joiningProjections()
    #expect(convolutions(program) == 4 && convolutions(joined) == 2)
    #expect(joined.inputs.map(\.name) == program.inputs.map(\.name))
    #expect(Set(joined.states.map(\.name)) == Set(program.states.map(\.name)))
    let (expected, found) = try (run(program), run(joined))
    let error = relativeError(try #require(found["y"]), try #require(expected["y"]))
    #expect(error <= 1e-14)
    // The attention matters for the result, and so does the bias.
    #expect(try run(self.program(heads: 2, biased: biased))["y"] != expected["y"])
  }

  /// Several heads, weights that runs change, and whatever else is read of what would go: all stays as it is.
  @Test func othersStay() throws {
    for other in try [
      program(heads: 2), program(changing: "k.weight"), program(giving: "q"), program(giving: "mixed"),
    ] { #expect(try convolutions(other.joiningProjections()) == 4) }
  }
}
