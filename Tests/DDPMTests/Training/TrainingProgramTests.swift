import DDPM
import Diffusers
import Diffusion
import Networks
import TensorGraph
import TestSupport
import Testing

/// The training graph on the 64-bit reference backend, against the plain mathematics.
@Suite struct TrainingProgramTests {
  static var network: UNetConfig {
    var config = UNetConfig.paperCIFAR10
    config.inChannels = 1
    config.outChannels = 1
    config.blockOutChannels = [4, 4]
    config.layersPerBlock = 1
    config.normGroups = 2
    config.downBlocks = [.plain, .plain]
    config.upBlocks = [.plain, .plain]
    return config
  }

  struct Case: Sendable, CustomTestStringConvertible {
    var prediction: Prediction
    var objective: Objective
    var variance = ReverseVariance.fixedLarge
    var testDescription: String { "\(prediction) \(objective)" }
  }

  static let cases: [Case] =
    Prediction.allCases.flatMap { prediction in
      [LossWeight.simple, .bound, .minSNR()].map { Case(prediction: prediction, objective: .squaredError($0)) }
    } + [Case(prediction: .epsilon, objective: .hybrid(), variance: .learnedRange)]

  /// `losses` of the graph is the objective of what the network says.
  @Test(arguments: cases) func lossesAreTheObjective(_ test: Case) throws {
    let process = try ReverseProcess(
      schedule: NoiseSchedule(T: 10, rescaled: false), prediction: test.prediction, variance: test.variance)
    var network = Self.network
    if test.variance.isLearned { network.outChannels = 2 }
    let t: [Timestep] = [1, 2, 5, 10]
    let shape = Images.Shape(4, 1, 4, 4)
    // Pixels of 8 bits, the end ones among them.
    let pixels = (0..<64).map { i in i % 3 == 0 ? 255 * (i % 2) : i * 4 }
    let x0 = Images(shape: shape, scalars: pixels.map { Float($0) / 127.5 - 1 })
    let ε = CounterNoise(seed: 1).initialNoise(shape: shape)
    var program = TrainingProgram(
      network: network, process: process, objective: test.objective, adam: Adam(), gradientClip: 1, batchSize: 4,
      size: .init(height: 4, width: 4))
    program.takesNoise = true
    let weights = try NetworkWeights(initializing: network, by: .diffusers, seed: 5)
    let engine = try TrainingEngine(program, seed: 0, on: ReferenceBackend())
    try engine.start(from: weights)
    let result = try engine.step(
      .init(x0: x0.scalars, t: t, noise: ε.scalars), .init(step: 1, learningRate: 0, emaDecay: 0))

    let (backend, size) = (ReferenceBackend(), SampleSize(height: 4, width: 4))
    let states = try backend.makeStates(for: [network.evaluation(batchSize: 4, size: size)])
    try weights.load(into: states)
    let denoiser = try NetworkDenoiser(network, batchSize: 4, size: size, on: backend, states: states)
    let output = try denoiser.predict(ForwardProcess(process.schedule).noised(x0, at: t, epsilon: ε), at: t)
    let expected = process.objective(test.objective, x0: x0, epsilon: ε, output: output, at: t)
    #expect(result.losses.count == 4 && expected.count == 4)
    for (found, expected) in zip(result.losses, expected) {
      #expect(abs(Double(found) - expected) < 1e-4 * abs(expected) + 1e-6, "\(found) and \(expected)")
    }
    #expect(result.gradientNorm > 0 && result.gradientNorm.isFinite)
  }

  /// k parts give the weights of the whole batch.
  @Test func accumulationIsExact() throws {
    let process = try ReverseProcess(schedule: NoiseSchedule(T: 10))
    let weights = try NetworkWeights(initializing: Self.network, by: .diffusers, seed: 5)
    let x0 = (0..<128).map { Float($0 % 17) / 8 - 1 }
    func train(parts: Int) throws -> (weights: [Float], losses: [Double]) {
      var program = TrainingProgram(
        network: Self.network, process: process, objective: .squaredError(), adam: Adam(weightDecay: 0.1),
        gradientClip: 0.1, batchSize: 8 / parts, size: .init(height: 4, width: 4))
      program.parts = parts
      let engine = try TrainingEngine(program, seed: 7, on: ReferenceBackend())
      try engine.start(from: weights)
      var losses: [Double] = []
      for step in 1...3 {
        let t = (0..<8).map { Timestep(1 + ($0 * 3 + step) % 10) }
        let result = try engine.step(
          .init(x0: x0, t: t, first: 8 * step), .init(step: step, learningRate: 1e-2, emaDecay: 0.9))
        losses += [result.loss, result.gradientNorm]
      }
      return (try weights.parameters.flatMap { try engine.states.read("ema." + $0.name).floats }, losses)
    }
    let whole = try train(parts: 1)
    for parts in [2, 4] {
      let accumulated = try train(parts: parts)
      #expect(accumulated.weights.count == whole.weights.count && whole.weights.count > 100)
      #expect(accumulated.losses.count == 6 && whole.losses.count == 6)
      for (a, b) in zip(whole.weights, accumulated.weights) { #expect(abs(a - b) < 1e-5) }
      for (a, b) in zip(whole.losses, accumulated.losses) { #expect(abs(a - b) < 1e-5 * abs(a)) }
    }
  }
}
