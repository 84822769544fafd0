import Diffusion
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension TrainingRun {
  private var previewBatch: Int { min(configuration.sampleCount, 16) }

  /// What draws previews: the average, guided where that is wished.
  func previewNetwork() throws -> GuidedNetwork {
    let w = configuration.sampleGuidance
    return try model.guidedNetwork(
      batchSize: previewBatch, size: engine.program.size, by: w == 1 ? nil : Guidance(scale: w))
  }

  /// Samples with the same noise each time: DDIM in a few steps.
  func preview() throws -> Image8 {
    let (size, batchSize) = (engine.program.size, previewBatch)
    let denoiser = try previewNetwork().denoiser(process.schedule)
    let timesteps = try TimestepSpacing.trailing.timesteps(configuration.sampleSteps, of: process.schedule.T)
    let parts = try stride(from: 0, to: configuration.sampleCount, by: batchSize).map { start in
      let samples = start..<min(start + batchSize, configuration.sampleCount)
      var noise = CounterNoise(seed: UInt64(configuration.seed), firstSample: start)
      return try DDIM().sample(
        shape: .init(samples.count, data.shape.channels, size.height, size.width), timesteps: timesteps,
        process: process, denoiser: denoiser, given: model.classesInTurn(samples), noise: &noise)
    }
    return ImageGrid().picture(of: Images(joining: parts).pictures)
  }

  func writeLossPlot() throws {
    let losses = try MetricsLog.losses(directory.metrics)
    guard losses.count > 1 else { return }
    let (x, y) = (losses.map { Double($0.step) }, losses.map(\.loss))
    var plot = Plot(title: "Training", x: "step", y: "loss")
    plot.series = [.init("mean of \(configuration.logEvery) steps", x: x, y: y, style: .faint)]
    plot.series.append(.init("smoothed", x: x, y: Plot.smoothed(y)))
    for name in ["loss.png", "loss.svg"] { try plot.write(to: directory.url.appending(path: name)) }
  }
}
