import Diffusion
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension TrainingRun {
  /// Samples of the average, with the same noise each time: DDIM in a few steps.
  func preview(_ denoiser: UNetDenoiser) throws -> Image8 {
    let shape = Images.Shape(
      configuration.sampleCount, network.inChannels, data.shape.height, data.shape.width)
    var parts: [Images] = []
    let timesteps = try TimestepSpacing.trailing.timesteps(configuration.sampleSteps, of: process.schedule.T)
    for start in stride(from: 0, to: shape.count, by: denoiser.batchSize) {
      var part = shape
      part.count = min(denoiser.batchSize, shape.count - start)
      var condition = Condition.none
      if case .learned(let classes) = network.classEmbedding {
        condition = .classes((start..<start + part.count).map { $0 % classes })
      }
      var noise = CounterNoise(seed: UInt64(configuration.seed), firstSample: start)
      parts.append(
        try DDIM().sample(
          shape: part, timesteps: timesteps, process: process, denoiser: denoiser, given: condition, noise: &noise))
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
