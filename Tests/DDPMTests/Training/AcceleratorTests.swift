import CPUBackend
import DDPM
import Diffusers
import Diffusion
import Files
import TensorGraph
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Training and sampling on a backend that returns before its results are there.
@Suite struct AcceleratorTests {
  private let near = CPUBackend(.init(threads: 1))

  private func bytes(_ run: URL, _ file: String) throws -> [UInt8] {
    try FileBytes.read(run.appending(path: file).path, limit: 1 << 30)
  }

  /// What a run tells, but for its times.
  private func report(_ event: TrainingEvent) -> String? {
    switch event {
    case .step(let step): "\(step.step) \(step.loss) \(step.gradientNorm)"
    case .logged(let metrics): "log \(metrics.step) \(metrics.loss) \(metrics.gradientNorm)"
    case .checkpoint(let url): url.lastPathComponent
    default: nil
    }
  }

  private func train(
    _ configuration: TrainingConfiguration, _ output: URL, on backend: any Backend, stoppingAfter last: Int = .max
  ) throws -> [String] {
    var told: [String] = []
    _ = try TrainingRun(configuration, output: output, on: backend)() { event in
      if let line = report(event) { told.append(line) }
      if case .step(let step) = event, step.step == last { return .stopAndSave }
      return .goOn
    }
    return told
  }

  /// One step is always under way, and nothing that is told or written differs.
  @Test(arguments: [[:], ["accumulate": 2], ["timestep_sampling": "importance"]] as [[String: JSONValue]])
  func trainsAsTheHostDoes(_ options: [String: JSONValue]) throws {
    var configuration = try TrainingConfiguration(over: TrainingRunTests.tiny, layers: [("test", options)])
    (configuration.steps, configuration.logEvery, configuration.checkpointEvery) = (11, 3, 5)
    try withTemporaryFolder { folder in
      let (here, there) = (folder.appending(path: "here"), folder.appending(path: "there"))
      let expected = try train(configuration, here, on: near)
      let told = try train(configuration, there, on: DistantBackend(near))
      #expect(told == expected)
      for file in ["weights", "ema", "adam_m", "adam_v"] {
        let path = "checkpoints/step-00000011/\(file).safetensors"
        let (found, expected) = (try bytes(there, path), try bytes(here, path))
        #expect(found == expected, "\(file)")
      }
    }
  }

  /// The step that was sent when it was asked to stop counts, and the rest follows as if nothing had happened.
  @Test func stopsAndGoesOn() throws {
    var configuration = TrainingRunTests.tiny
    (configuration.steps, configuration.logEvery, configuration.checkpointEvery) = (11, 50, 50)
    try withTemporaryFolder { folder in
      let (straight, broken) = (folder.appending(path: "straight"), folder.appending(path: "broken"))
      _ = try train(configuration, straight, on: near)
      let told = try train(configuration, broken, on: DistantBackend(near), stoppingAfter: 4)
      #expect(told.last == "step-00000005")
      // And on another device.
      _ = try TrainingRun(resuming: broken, on: near)() { _ in .goOn }
      let path = "checkpoints/step-00000011/weights.safetensors"
      let (found, expected) = (try bytes(broken, path), try bytes(straight, path))
      #expect(found == expected)
    }
  }

  @Test(arguments: [nil, 3.0]) func samplesStayOnTheDevice(guidance: Double?) async throws {
    let folder = try EvaluationFolder()
    var card = ModelCard()
    card.nullClass = 3
    let directory = try folder.model(classes: 4, card: card)
    var request = SamplingRequest(count: 5)
    (request.batchSize, request.seed) = (2, 3)
    let (here, backend) = (try Model(directory, on: near), DistantBackend(near))
    let there = try Model(directory, on: backend)
    request.guidance = guidance.map { Guidance(scale: $0) }
    request.plan = try here.plan(.dpmSolver, steps: 6)
    let (expected, found) = (try await draw(here, request), try await draw(there, request))
    #expect(found.map(\.range) == expected.map(\.range))
    let difference = zip(found.final.scalars, expected.final.scalars).map { abs($0 - $1) }.max() ?? 1
    #expect(difference < 1e-5)
    // Each of three batches once.
    #expect(backend.counts.readings == 3)
  }
}

/// The bound measured on a device.
@Suite struct DeviceBoundTests {
  private let near = CPUBackend(.init(threads: 1))

  /// Every prediction and variance, a batch that is not full, all t: the host's Doubles, but for rounding.
  @Test(
    arguments: [
      [:], ["prediction_type": "v_prediction", "variance_type": "fixed_small"], ["variance_type": "learned_range"],
      ["clip_sample": false],
    ] as [[String: JSONValue]])
  func measuresWhatTheHostDoes(_ scheduler: [String: JSONValue]) async throws {
    let folder = try EvaluationFolder()
    let learned = scheduler["variance_type"] == "learned_range"
    let directory = try folder.model(channels: (1, learned ? 2 : 1), scheduler: scheduler)
    let pixels: @Sendable (Int) -> EvaluationImage = { i in
      EvaluationImage(
        x0: Images(
          shape: .init(1, 1, 16, 16), scalars: (0..<256).map { Float(($0 * 7 + i * 31) % 256) / 127.5 - 1 }))
    }
    func measure(on backend: any Backend) async throws -> BoundStatistics {
      try await Model(directory, on: backend).bound(of: 2, timesteps: 9, seed: 4, batchSize: 16, image: pixels)
    }
    let backend = DistantBackend(near)
    let (expected, found) = (try await measure(on: near), try await measure(on: backend))
    for (a, b) in zip(found.images, expected.images) {
      #expect(abs(a.total / b.total - 1) < 2e-5, "\(a) \(b)")
      #expect(abs(a.reconstruction / b.reconstruction - 1) < 2e-5)
    }
    for (a, b) in zip(found.timesteps, expected.timesteps) where b.εError.count > 0 {
      #expect(abs(a.εError.mean / b.εError.mean - 1) < 1e-5)
      #expect(abs(a.x0Error.mean / b.x0Error.mean - 1) < 1e-4)
    }
    // Three lists of numbers a batch.
    #expect(backend.counts.readings == 2 * 3)
  }
}
