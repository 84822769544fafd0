import CPUBackend
import DDPM
import Datasets
import Diffusers
import Diffusion
import Networks
import TensorGraph
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What networks are told in training: classes that are dropped now and then, and pictures.
@Suite struct ConditionTrainingTests {
  private let backend = CPUBackend(.init(threads: 1))

  // MARK: Dropout

  @Test func droppingDependsOnTheSampleAlone() {
    let classes = Condition.classes((0..<4000).map { $0 % 7 })
    let whole = classes.dropped(rate: 0.3, seed: 5, samples: 100..<4100, step: 9)
    for parts in [2, 5] {
      let size = 4000 / parts
      let joined = (0..<parts).map { part in
        let samples = part * size..<(part + 1) * size
        return classes[samples].dropped(
          rate: 0.3, seed: 5, samples: 100 + samples.lowerBound..<100 + samples.upperBound, step: 9)
      }
      #expect(Condition(joining: joined) == whole)
    }
    // Binomial(4000, 0.3) has standard deviation 29.
    let labels = whole.classes ?? []
    let dropped = labels.count { $0 == nil }
    #expect(abs(dropped - 1200) < 150, "\(dropped)")
    #expect(labels.enumerated().allSatisfy { $1 == nil || $1 == $0 % 7 })
    #expect(classes.dropped(rate: 0.3, seed: 5, samples: 100..<4100, step: 10) != whole)
    #expect(classes.dropped(rate: 0.3, seed: 6, samples: 100..<4100, step: 9) != whole)
    #expect(classes.dropped(rate: 0, seed: 5, samples: 100..<4100, step: 9) == classes)
  }

  /// However a batch is divided, the same samples lose their class; and it matters which do.
  @Test func droppingIsTheSameForAnyPartition() throws {
    try withTemporaryFolder { folder in
      func weights(accumulate: Int, dropout: Double) throws -> [Float] {
        var configuration = TrainingRunTests.tiny
        (configuration.steps, configuration.batchSize, configuration.sampleEvery) = (3, 8, 0)
        (configuration.classes, configuration.accumulate, configuration.conditionDropout) = (true, accumulate, dropout)
        let output = folder.appending(path: "\(accumulate), \(dropout)")
        try train(configuration, output: output, on: backend)
        let (pipeline, weights) = try PipelineDirectory.load(output)
        #expect(pipeline.card.nullClass == 36 && pipeline.card.classNames.count == 36)
        #expect(pipeline.network.classRows == 37)
        return try weights.parameters.indices.flatMap { try weights[$0].floats }
      }
      func difference(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).map { abs($0 - $1) }.max() ?? 0 }
      let whole = try weights(accumulate: 1, dropout: 0.5)
      for parts in [2, 8] {
        let error = difference(try weights(accumulate: parts, dropout: 0.5), whole)
        #expect(error < 1e-5, "\(parts) parts: \(error)")
      }
      let other = difference(try weights(accumulate: 1, dropout: 1e-9), whole)
      #expect(other > 1e-4, "\(other)")
    }
  }

  /// Without dropout there is no null class, and no row for it.
  @Test(arguments: [(nil, 36), (0.2, 36), (0, nil)] as [(Double?, Int?)])
  func dropoutBringsTheNullClass(rate: Double?, null: Int?) throws {
    var configuration = TrainingRunTests.tiny
    (configuration.classes, configuration.conditionDropout) = (true, rate)
    let (network, card) = try configuration.network(Dataset.open("glyphs", options: .init(imageSize: 8)))
    #expect(card.nullClass == null && network.classRows == (null == nil ? 36 : 37))
    #expect(network.classCount(card) == 36)
  }

  // MARK: Super-resolution

  @Test func picturesAreMeans() {
    // Two samples of 4×4.
    let images = Images(shape: .init(2, 1, 4, 4), scalars: (0..<32).map { Float($0) })
    let task = SuperResolution(scale: 2)
    // (0 + 1 + 4 + 5)/4, …
    #expect(task.reduced(images).scalars == [2.5, 4.5, 10.5, 12.5, 18.5, 20.5, 26.5, 28.5])
    let rows: [[Float]] = [[2.5, 2.5, 4.5, 4.5], [10.5, 10.5, 12.5, 12.5]]
    let first = rows[0] + rows[0] + rows[1] + rows[1]
    #expect(task.shown(images).scalars == first + first.map { $0 + 16 })
    #expect(task.shown(images).shape == images.shape)
  }

  /// A run of 8×8 glyphs from 4×4 ones, opened and asked.
  @Test func aModelEnlarges() async throws {
    let folder = try TemporaryFolder()
    let output = folder.url.appending(path: "run")
    var configuration = TrainingRunTests.tiny
    (configuration.superResolutionScale, configuration.steps) = (2, 4)
    try train(configuration, output: output, on: backend)

    let model = try Model(output, on: backend)
    #expect(model.card.pictures == .superResolution(scale: 2))
    #expect(model.architecture.channels == 1 && model.architecture.pictureChannels == 1)
    #expect(try PipelineDirectory.open(output).pipeline.network as? UNetConfig == model.architecture as? UNetConfig)
    let data = try model.openData("glyphs", split: .test)
    let glyphs = Images(joining: try (0..<3).map { try data.evaluationImage($0, classes: nil).x0 })
    let shown = SuperResolution(scale: 2).shown(glyphs)

    var request = SamplingRequest(count: 3)
    request.batchSize = 2
    request.plan = try model.plan(.ddim, steps: 3)
    await #expect(throws: SamplingError.pictureMissing(channels: 1)) { try await draw(model, request) }
    request.condition = { _ in Condition(pictures: shown) }
    await #expect(throws: SamplingError.pictureShape("[3, 1, 8, 8]", wanted: "[2, 1, 8, 8]")) {
      try await draw(model, request)
    }
    request.condition = { Condition(pictures: shown.samples($0)) }
    let drawn = try await draw(model, request).final
    // The picture reaches the sample that it is of, and no other.
    let others = Images(joining: [glyphs[sample: 0], glyphs[sample: 0], glyphs[sample: 2]])
    request.condition = { Condition(pictures: SuperResolution(scale: 2).shown(others).samples($0)) }
    let changed = try await draw(model, request).final
    #expect(changed[sample: 0] == drawn[sample: 0] && changed[sample: 2] == drawn[sample: 2])
    #expect(changed[sample: 1] != drawn[sample: 1])
  }

  @Test func scalesDivideTheSides() {
    var configuration = TrainingRunTests.tiny
    configuration.superResolutionScale = 3
    let error = #expect(throws: ConfigurationError.self) {
      try configuration.network(Dataset.open("glyphs", options: .init(imageSize: 8)))
    }
    #expect(error?.key == "super_resolution_scale")
  }
}
