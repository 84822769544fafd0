import CPUBackend
import DDPM
import Datasets
import Diffusers
import Diffusion
import Files
import Networks
import Pictures
import Platform
import TensorGraph
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Two half circles in the plane, reaching beyond ±1, with a little noise: a source of points that a user wrote.
private struct Moons: ImageSource {
  static let noise = 0.05
  let count = 4096
  let isPixels = false
  let shape = ImageShape(channels: 2, height: 1, width: 1)

  /// The middle of a moon at angle a, 0…π.
  static func point(_ moon: Int, _ a: Double) -> (x: Double, y: Double) {
    moon == 0 ? (cos(a) - 0.5, sin(a) - 0.25) : (0.5 - cos(a), 0.25 - sin(a))
  }

  func load(_ index: Int) -> Example {
    var random = CounterRandom(seed: 1, stream: 2, index: index)
    let moon = index % 2
    let (x, y) = Self.point(moon, random.uniform(0...Double.pi))
    let (r, φ) = ((-2 * log(1 - random.unit())).squareRoot(), random.uniform(0...2 * Double.pi))
    return Example(
      values: [Float(x + Self.noise * r * cos(φ)), Float(y + Self.noise * r * sin(φ))], label: Int32(moon))
  }

  /// How far a point is from a moon.
  static func distance(_ x: Float, _ y: Float, to moon: Int) -> Double {
    (0...200).map { i in
      let p = point(moon, Double.pi * Double(i) / 200)
      return hypot(Double(x) - p.x, Double(y) - p.y)
    }.min() ?? .infinity
  }
}

/// The second network: a perceptron for points, trained, drawn from and measured by what knows no configuration of a network.
@Suite struct PointTrainingTests {
  private let backend = CPUBackend(.init(threads: 1))
  private let data = Dataset(Moons(), name: "moons", format: "points", classes: ["upper", "lower"])

  private var configuration: TrainingConfiguration {
    var configuration = TrainingConfiguration()
    (configuration.mlpWidth, configuration.mlpLayers) = (64, 3)
    (configuration.timesteps, configuration.rescaleBetas, configuration.sampleSteps) = (50, true, 5)
    configuration.classes = true
    // Few steps: the null class must see its share.
    configuration.conditionDropout = 0.3
    // PyTorch's first weights: the last layers, which the paper draws near zero, would take their time.
    configuration.initialization = .diffusers
    (configuration.steps, configuration.batchSize) = (3000, 128)
    (configuration.learningRate, configuration.warmupSteps, configuration.decay) = (1e-2, 20, .cosine)
    (configuration.emaDecay, configuration.logEvery, configuration.checkpointEvery) = (0.98, 500, 3000)
    return configuration
  }

  @Test func aPerceptronLearnsTheMoons() async throws {
    let folder = try TemporaryFolder()
    let output = folder.url.appending(path: "run")
    let run = try TrainingRun(configuration, data: data, output: output, on: backend)
    var losses: [Double] = []
    let outcome = try run {
      if case .logged(let metrics) = $0 { losses.append(metrics.loss) }
      // There is nothing to see in a grid.
      if case .samples = $0 { Issue.record("a grid of points") }
      return .goOn
    }
    #expect(outcome == .finished && losses.count == 6)

    let model = try Model(output, on: backend)
    let config = try #require(model.architecture as? PointMLPConfig)
    #expect(config.dimension == 2 && config.width == 64 && config.layers == 3 && config.classRows == 3)
    #expect(model.card.classNames == ["upper", "lower"] && model.card.nullClass == 2)
    // Points know no range: x̂_0 is not clipped.
    #expect(try model.process().limit == X0Limit.none)

    // Each class lies on its moon.
    var request = SamplingRequest(count: 400)
    (request.batchSize, request.seed) = (200, 3)
    let batches = try await draw(model, request)
    #expect(batches.pictures.isEmpty)
    let samples = batches.final
    #expect(samples.shape == .init(400, 2, 1, 1))
    let distances = (0..<400).map { n in
      Moons.distance(samples.scalars[2 * n], samples.scalars[2 * n + 1], to: n % 2)
    }
    let mean = distances.reduce(0, +) / 400
    // (Points of a Gaussian about as wide are 0.26 away.)
    #expect(mean < 0.13, "\(mean)")
    #expect(samples.scalars.contains { abs($0) > 1.2 })
    // And no class lies on both.
    request.condition = { .classes($0.map { _ in nil }) }
    let free = try await draw(model, request).final
    let nearest = (0..<400).map { n in
      (0..<2).map { Moons.distance(free.scalars[2 * n], free.scalars[2 * n + 1], to: $0) }
    }
    #expect(nearest.reduce(0) { $0 + min($1[0], $1[1]) } / 400 < 0.13)
    #expect((100...300).contains(nearest.count { $0[0] < $0[1] }))

    // As a density it beats the best Gaussian by far.
    let classes = try model.classNumbers(of: data)
    #expect(classes == [0, 1])
    let statistics = try await model.bound(of: 200, batchSize: 500, decoder: .density) { [data] in
      try data.evaluationImage($0, classes: classes)
    }
    let (bits, gaussian) = (statistics.total, try gaussianBits)
    #expect(bits.mean + bits.confidence95 < gaussian - 0.4, "\(bits.mean), \(gaussian)")
  }

  /// −log₂ of the density of the Gaussian with the data's mean and covariance, bits a dimension: ½ · ½ log₂((2πe)² det Σ).
  private var gaussianBits: Double {
    get throws {
      let points = try (0..<data.count).map { try data.load($0).x0.map(Double.init) }
      let n = Double(points.count)
      let mean = (0..<2).map { d in points.reduce(0) { $0 + $1[d] } / n }
      func covariance(_ a: Int, _ b: Int) -> Double {
        points.reduce(0) { $0 + ($1[a] - mean[a]) * ($1[b] - mean[b]) } / n
      }
      let determinant = covariance(0, 0) * covariance(1, 1) - covariance(0, 1) * covariance(0, 1)
      return 0.25 * log2((2 * Double.pi * M_E) * (2 * Double.pi * M_E) * determinant)
    }
  }

  /// A model of points comes back from its directory as it was, and goes into another the same.
  @Test func theDirectoryRoundTrips() throws {
    try withTemporaryFolder { folder in
      let (output, copy) = (folder.appending(path: "run"), folder.appending(path: "copy"))
      var configuration = configuration
      (configuration.steps, configuration.batchSize, configuration.checkpointEvery) = (2, 8, 2)
      #expect(
        try TrainingRun(configuration, data: data, output: output, on: backend)(observe: { _ in .goOn }) == .finished)
      let (pipeline, weights) = try PipelineDirectory.load(output)
      try pipeline.write(weights.sources, to: copy)
      for file in [
        "model_index.json", "ddpm.json", "mlp/config.json", "scheduler/scheduler_config.json",
      ] {
        func bytes(_ url: URL) throws -> [UInt8] { try FileBytes.read(url.appending(path: file).path, limit: 1 << 20) }
        #expect(try bytes(output) == bytes(copy), "\(file)")
      }
      let again = try PipelineDirectory.load(copy)
      #expect(again.pipeline.network as? PointMLPConfig == pipeline.network as? PointMLPConfig)
      #expect(again.pipeline.network is PointMLPConfig)
      #expect(again.pipeline.card == pipeline.card)
    }
  }

  /// A run on data that was given goes on with it, to the last bit.
  @Test func resumesWithTheDataThatItIsGiven() throws {
    try withTemporaryFolder { folder in
      var configuration = configuration
      (configuration.steps, configuration.batchSize, configuration.decay) = (6, 8, .constant)
      let (straight, broken) = (folder.appending(path: "straight"), folder.appending(path: "broken"))
      _ = try TrainingRun(configuration, data: data, output: straight, on: backend)(observe: { _ in .goOn })
      configuration.steps = 4
      _ = try TrainingRun(configuration, data: data, output: broken, on: backend)(observe: { _ in .goOn })
      _ = try TrainingRun(resuming: broken, changes: ["steps": 6], data: data, on: backend)(observe: { _ in .goOn })
      for file in ["weights", "ema", "adam_m", "adam_v"] {
        func bytes(_ run: URL) throws -> [UInt8] {
          let folder = RunDirectory(run).checkpoints.url(step: 6)
          return try FileBytes.read(folder.appending(path: "\(file).safetensors").path, limit: 1 << 20)
        }
        #expect(try bytes(straight) == bytes(broken), "\(file)")
      }
    }
  }
}
