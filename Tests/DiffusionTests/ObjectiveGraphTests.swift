import Diffusion
import TensorGraph
import TestSupport
import Testing

/// The graph pieces against the plain functions, and their gradients against finite differences.
@Suite struct ObjectiveGraphTests {
  static let t: [Timestep] = [1, 2, 40, 100]

  private func process(_ prediction: Prediction, _ variance: ReverseVariance) throws -> ReverseProcess {
    try ReverseProcess(
      schedule: NoiseSchedule(T: 100, rescaled: true), prediction: prediction, variance: variance, limit: .none)
  }

  /// Builds the losses and their sum's gradient by the output, and runs them in 64 bits.
  private func run(
    _ process: ReverseProcess, _ objective: Objective, x0: Images, ε: Images, output: Images
  ) throws -> (losses: [Double], gradient: [Double]) {
    let builder = GraphBuilder()
    let input = { (name: String, x: Images) in
      builder.input(name, [x.shape.count, x.shape.channels, x.shape.height, x.shape.width])
    }
    let tensor = input("output", output)
    let graph = ProcessGraph(process, t: builder.input("t", [Self.t.count], .int32))
    let losses = graph.losses(objective, x0: input("x0", x0), epsilon: input("ε", ε), output: tensor)
    builder.output("losses", losses)
    builder.output("gradient", builder.gradients(of: losses.sum(), withRespectTo: [tensor])[0])
    let results = try ReferenceBackend().compileExact(builder.finish()).runExact([
      "x0": x0.doubles, "ε": ε.doubles, "output": output.doubles, "t": Self.t.map { Double($0.number) },
    ])
    return (try #require(results["losses"]), try #require(results["gradient"]))
  }

  /// 8-bit images, both ends included.
  private func pixels(_ shape: Images.Shape) -> Images {
    let pixels = normals(shape, seed: 1).scalars.enumerated().map { i, z in
      i % 7 == 0 ? (i % 2) * 255 : DiscretizedDecoder.pixel(nearest: Double(z))
    }
    return Images(shape: shape, scalars: pixels.map { Float(DiscretizedDecoder.value(ofPixel: $0)) })
  }

  @Test(arguments: Prediction.allCases, [Objective.squaredError(), .squaredError(.bound), .squaredError(.minSNR())])
  func squaredErrorsMatchThePlainFunctions(_ prediction: Prediction, _ objective: Objective) throws {
    let process = try process(prediction, .fixedLarge)
    let shape = Images.Shape(4, 2, 3, 3)
    let (x0, ε, output) = (pixels(shape), normals(shape, seed: 2), normals(shape, seed: 3))
    let (losses, gradient) = try run(process, objective, x0: x0, ε: ε, output: output)
    let plain = process.objective(objective, x0: x0, epsilon: ε, output: output, at: Self.t)
    // Tables in the graph are Float.
    expect(maximumRelativeError(losses, plain), atMost: 2e-5, "graph \(prediction) \(objective)")
    #expect(gradient.contains { $0 != 0 })
  }

  @Test(arguments: Prediction.allCases, [ReverseVariance.learned, .learnedRange])
  func hybridMatchesThePlainFunction(_ prediction: Prediction, _ variance: ReverseVariance) throws {
    let process = try process(prediction, variance)
    let shape = Images.Shape(4, 1, 4, 4)
    let (x0, ε) = (pixels(shape), normals(shape, seed: 2))
    // Predictions near the target, log variances near the posterior's, as in training.
    let xt = ForwardProcess(process.schedule).noised(x0, at: Self.t, epsilon: ε)
    let output = Images(
      shape: .init(4, 2, 4, 4),
      scalars: Self.t.indices.flatMap { n -> [Float] in
        let (level, posterior) = (process.schedule.level(Self.t[n]), process.schedule.posterior(Self.t[n]))
        let target = prediction.target(
          x0: x0[sample: n], epsilon: ε[sample: n], xt: xt[sample: n], level: level, posterior: posterior)
        let logβ̃ = process.schedule.posteriorLogVariance(Self.t[n])
        let half = normals(.init(1, 1, 4, 4), seed: UInt64(10 + n))
        let noisy = target + 0.05 * half
        return noisy.scalars + half.map { variance == .learned ? Float(logβ̃) + 0.3 * $0 : 0.5 * $0 }.scalars
      })
    let (losses, gradient) = try run(process, .hybrid(), x0: x0, ε: ε, output: output)
    let plain = process.objective(.hybrid(), x0: x0, epsilon: ε, output: output, at: Self.t)
    expect(maximumRelativeError(losses, plain), atMost: 1e-4, "graph \(prediction) hybrid \(variance)")

    // The variance's gradient by central differences of the plain function.
    var worst = 0.0
    for n in 0..<4 {
      for i in 16..<32 {
        let index = n * 32 + i
        let at = { (step: Float) in
          var scalars = output.scalars
          scalars[index] += step
          let moved = Images(shape: output.shape, scalars: scalars)
          return (
            process.objective(.hybrid(), x0: x0, epsilon: ε, output: moved, at: Self.t)[n], Double(scalars[index])
          )
        }
        let (up, down) = (at(1e-2), at(-1e-2))
        let slope = (up.0 - down.0) / (up.1 - down.1)
        worst = max(worst, abs(gradient[index] - slope) / (abs(slope) + 1e-4))
      }
    }
    expect(worst, atMost: 5e-3, "graph \(prediction) hybrid \(variance) gradient")
  }

  /// ln p of all 256 bins near and far from the mean.
  @Test(arguments: [-7.0, -3, 0.5]) func decoderMatchesThePlainFunction(_ logσ: Double) throws {
    let builder = GraphBuilder()
    let values = (0...255).map { DiscretizedDecoder.value(ofPixel: $0) }
    let likelihood = DiscretizedDecoder.logLikelihood(
      builder.input("x", [256]), mean: builder.input("μ", [1]), logVariance: builder.input("v", [1]))
    builder.output("y", likelihood)
    let executable = try ReferenceBackend().compileExact(builder.finish())
    for μ in [-1.2, -0.3, 0.0, 0.9] {
      let y = try #require(try executable.runExact(["x": values, "μ": [μ], "v": [2 * logσ]])["y"])
      let plain = logProbabilities(mean: μ, logσ: logσ)
      // The graph clamps masses below 1e-12 of the next bin's, and bins that hold nearly everything.
      for k in 0...255 { #expect(abs(y[k] - plain[k]) <= 1e-9 * abs(plain[k]) + 1e-12, "bin \(k), μ = \(μ)") }
    }
  }

  @Test func noisedMatchesTheForwardProcess() throws {
    let process = try process(.epsilon, .fixedSmall)
    let shape = Images.Shape(4, 1, 2, 2)
    let (x0, ε) = (pixels(shape), normals(shape, seed: 2))
    let builder = GraphBuilder()
    let graph = ProcessGraph(process, t: builder.input("t", [4], .int32))
    builder.output("xt", graph.noised(builder.input("x0", [4, 1, 2, 2]), epsilon: builder.input("ε", [4, 1, 2, 2])))
    builder.output("zeroBased", graph.zeroBased)
    let results = try ReferenceBackend().compileExact(builder.finish()).runExact([
      "x0": x0.doubles, "ε": ε.doubles, "t": Self.t.map { Double($0.number) },
    ])
    let xt = ForwardProcess(process.schedule).noised(x0, at: Self.t, epsilon: ε)
    #expect(try relativeL2(#require(results["xt"]), xt.doubles) < 1e-6)
    #expect(results["zeroBased"] == [0, 1, 39, 99])
  }
}
