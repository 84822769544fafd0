import ArgumentParser
import DDPM
import Diffusion
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension SampleCommand {
  /// As for pictures, with plots and tables in their place.
  func drawPoints(_ request: SamplingRequest, of model: Model, on terminal: Terminal) async throws {
    var request = request
    request.recordsNoise = progressive || request.recordsNoise
    var output = try PointOutput(out: out, views: animate != nil || progressive ? 60 : 0)
    var batches: [Samples] = []
    StopSignals.watch()
    let clock = Countdown()
    let sequence = try model.sample(request)
    for try await event in sequence {
      switch event {
      case .step(let step):
        output.look(at: step)
        terminal.live(
          "step \(step.done)/\(step.total)  \(Text.duration(clock.left(after: step.done, of: step.total))) left")
      case .samples(let samples):
        output.add(samples)
        if saveTensors != nil { batches.append(samples) }
      }
      if let signal = StopSignals.pending {
        terminal.end()
        Terminal.complain("stopped; nothing was written")
        throw ExitCode(128 + signal)
      }
    }
    terminal.end()
    let seconds = clock.elapsed
    terminal.print(
      "\(Text.grouped(request.samples.count)) points, \(method.rawValue) in \(sequence.plan.timesteps.count) steps: "
        + "\(Text.duration(seconds)), \(Text.short(Double(request.samples.count) / max(seconds, 1e-9))) a second")
    let process = sequence.plan.process
    let none = model.classCount.map { _ in model.card.nullClass == nil ? 0 : nil as Int? }
    try await output.write(
      labels: try model.condition(of: request.samples, request).classes ?? [], names: model.card.classNames,
      progressive: progressive, animation: animate,
      score: model.architecture.channels != 2
        ? nil
        : { x, t in
          // ∇ln p(x_t) = −ε̂/√(1−ᾱ_t)
          let t = Timestep(t.number)
          let said = try await model.predict(
            x, at: .init(repeating: t, count: x.shape.count),
            given: none.map { .classes(.init(repeating: $0, count: x.shape.count)) } ?? .none)
          return (-1 / process.schedule.sqrtOneMinusAlphaBar[t]) * process.denoised(said, xt: x, at: t).epsilon
        }, on: terminal)
    if let saveTensors {
      try NoiseFile.write(batches, to: URL(filePath: saveTensors))
      terminal.wrote(saveTensors)
    }
  }
}
