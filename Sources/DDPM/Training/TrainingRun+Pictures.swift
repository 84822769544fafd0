import Diffusion
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension TrainingRun {
  /// Samples of the average, with the same noise each time: DDIM in a few steps.
  func preview(batchSize: Int) throws -> Image8 {
    let size = engine.program.size
    let denoiser = try model.denoiser(batchSize: batchSize, size: size)
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
