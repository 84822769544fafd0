import Platform
import TensorGraph
import TestSupport
import Testing

@Suite struct OptimizeTests {
  /// Three steps on L = Σ a² + Σ 3b, against the recipe written out for single numbers.
  @Test(arguments: [nil, 2.5] as [Double?]) func stepsFollowTheRecipe(_ clip: Double?) throws {
    let adam = Adam(beta1: 0.8, beta2: 0.99, epsilon: 1e-6, weightDecay: 0.1)
    let builder = GraphBuilder()
    let parameters = [(name: "a", tensor: builder.state("a", [2])), (name: "b", tensor: builder.state("b", []))]
    let loss = parameters[0].tensor.squared().sum() + 3 * parameters[1].tensor
    let gradients = builder.gradients(of: loss, withRespectTo: parameters.map(\.tensor))
    builder.output("norm", builder.optimize(parameters, gradients: gradients, with: adam, clipNorm: clip))
    let executable = try ReferenceBackend().compileExact(builder.finish())
    let states = executable.exactStates
    try states.writeExact("a", [1, -2])
    try states.writeExact("b", [0.5])

    var (p, m, v, ema) = ([1.0, -2, 0.5], [0.0, 0, 0], [0.0, 0, 0], [0.0, 0, 0])
    for k in 1...3 {
      let step = Adam.Step(step: k, learningRate: 0.25, emaDecay: 0.75)
      let inputs = adam.inputs(step)
      let outputs = try executable.runExact(inputs.mapValues { $0.floats.map(Double.init) })

      let g = [2 * p[0], 2 * p[1], 3]
      let norm = (g[0] * g[0] + g[1] * g[1] + g[2] * g[2]).squareRoot()
      #expect(relativeError(outputs["norm"] ?? [], [norm]) < 1e-6)
      let scale = clip.map { min(1, $0 / (norm + 1e-6)) } ?? 1
      for i in 0..<3 {
        m[i] = 0.8 * m[i] + 0.2 * scale * g[i]
        v[i] = 0.99 * v[i] + 0.01 * scale * scale * g[i] * g[i]
        let (m̂, v̂) = (m[i] / (1 - pow(0.8, Double(k))), v[i] / (1 - pow(0.99, Double(k))))
        p[i] -= 0.25 * 0.1 * p[i] + 0.25 * m̂ / (v̂.squareRoot() + 1e-6)
        ema[i] = 0.75 * ema[i] + 0.25 * p[i]
      }
      for (prefix, expected) in [("", p), ("adam.m.", m), ("adam.v.", v), ("ema.", ema)] {
        let found = try states.readExact(prefix + "a") + states.readExact(prefix + "b")
        // The step's numbers are given in 32 bits.
        #expect(relativeError(found, expected) < 1e-5, "\(prefix) after step \(k): \(found), not \(expected)")
      }
    }
  }

  /// (x · c)′ = c where c = x² is held, and nothing is computed on the way that is cut off.
  @Test func detachedTensorsAreConstants() throws {
    let builder = GraphBuilder()
    let x = builder.input("x", [])
    let loss = x * x.squared().detached()
    builder.output("d", builder.gradients(of: loss, withRespectTo: [x])[0])
    let program = try builder.finish()
    #expect(try ReferenceBackend().compileExact(program).runExact(["x": [3]])["d"] == [9])
    let operators = program.nodes.map { OperatorKind($0.op) }
    // x, x², the constant, and 1 · x² for the gradient.
    #expect(operators == [.input, .unary, .detach, .constant, .binary])
  }
}
