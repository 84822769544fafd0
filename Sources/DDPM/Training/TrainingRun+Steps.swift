import Datasets
import Diffusion
import Pictures
import Ranks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension TrainingRun {
  /// Trains to the end, or until `observe` asks to stop.
  ///
  /// - Parameter observe: told of everything; its answer to a step, a log line or a checkpoint may end the run.
  /// - Throws: ``TrainingError/notFinite(step:loss:gradientNorm:checkpoint:)``; and what reading data, writing files and `observe` throw.
  public func callAsFunction(observe: (TrainingEvent) throws -> Answer) throws -> Outcome {
    let hosts = try meet()
    try begin()
    let log = ranks.isFirst ? try MetricsLog(directory.metrics, after: state.step) : nil
    let events = ranks.isFirst ? try EventFile(folder: directory.tensorBoard, firstStep: state.step) : nil
    for skipped in data.skipped.prefix(20) { warnings.append("skipped \(skipped)") }
    if data.skipped.count > 20 { warnings.append("skipped \(data.skipped.count) images in all") }
    var stops = false
    // Whoever is asked to stop, all stop at the same place.
    func tell(_ event: TrainingEvent) throws { stops = try ranks.any(observe(event) == .stopAndSave) || stops }
    try tell(.prepared(summary(hosts)))
    for warning in warnings { try tell(.warning(warning)) }

    let share = engine.samples
    let loader = BatchLoader(
      data, batchSize: configuration.batchSize, share: share, seed: UInt64(configuration.seed), cursor: state.cursor,
      mirrors: configuration.flip ?? false)
    var window = state.window ?? MetricsWindow()
    var clock = StepClock(batchSize: configuration.batchSize)
    let T = process.schedule.T

    // On an accelerator one step computes while the next is prepared. It is waited for before anything else is done with the states,
    // and where its losses decide which t come next.
    let runsAhead = engine.isAsynchronous && draw.importance == nil
    var sent = state.step
    var pending: SentStep?

    func settle(_ step: SentStep) throws {
      let result = try step.pending.result()
      guard result.loss.isFinite, result.gradientNorm.isFinite else {
        throw notFinite(step: step.k, loss: result.loss, gradientNorm: result.gradientNorm)
      }
      draw.record(result.losses, at: step.t)
      window.add(loss: result.loss, gradientNorm: result.gradientNorm, losses: result.losses, t: step.t, T: T)
      state.step = step.k
      state.cursor = step.cursor
      state.smoothedLoss = state.smoothedLoss.map { 0.98 * $0 + 0.02 * result.loss } ?? result.loss
      clock.stop()
      if let times = result.times { straggler.add(times) }
      try tell(
        .step(
          StepReport(
            step: step.k, steps: configuration.steps, loss: result.loss,
            smoothedLoss: state.smoothedLoss ?? result.loss, gradientNorm: result.gradientNorm,
            imagesPerSecond: clock.imagesPerSecond,
            secondsLeft: clock.secondsPerStep * Double(configuration.steps - step.k))))
    }

    while sent < configuration.steps, !stops {
      clock.start()
      let k = sent + 1
      let batch = try loader.next()
      // Of all samples, since their losses are recorded by all ranks.
      let (t, weights) = draw.draw(
        step: k, first: batch.cursor - share.lowerBound, count: configuration.batchSize)
      let schedule = Adam.Step(
        step: k, learningRate: configuration.learningRate(step: k), emaDecay: configuration.emaDecay(step: k))
      let step = SentStep(
        k: k, t: t, cursor: loader.cursor,
        pending: try engine.send(
          .init(
            x0: batch.x0, t: Array(t[share]), weights: Array(weights[share]), first: batch.cursor,
            condition: condition(labels: batch.labels, x0: batch.x0, first: batch.cursor, step: k)), schedule))
      sent = k
      if let before = pending { try settle(before) }
      pending = step
      guard !runsAhead || stops || isRecorded(k) else { continue }
      pending = nil
      try settle(step)

      let isLast = k == configuration.steps
      if k % configuration.logEvery == 0 || isLast {
        let metrics = Metrics(
          step: k, loss: window.meanLoss, lossByQuartile: window.lossByQuartile,
          gradientNorm: window.meanGradientNorm, learningRate: schedule.learningRate, emaDecay: schedule.emaDecay,
          imagesPerSecond: clock.imagesPerSecond, seconds: clock.total, communication: straggler.communicating)
        window = MetricsWindow()
        state.bestLoss = min(state.bestLoss ?? .infinity, metrics.loss)
        try log?.append(metrics)
        try events?.write(metrics)
        try tell(.logged(metrics))
        if let warning = straggler.warning(hosts: hosts) { try tell(.warning(warning)) }
      }
      state.window = window
      if previews, k % configuration.sampleEvery == 0 || isLast, !stops {
        let url = directory.picture(step: k)
        try bringAverage()
        if ranks.isFirst {
          let picture = try preview()
          try picture.writePNG(to: url)
          try events?.image("samples", picture, step: k)
        }
        try tell(.samples(url))
      }
      if k % configuration.checkpointEvery == 0 || isLast || stops {
        log?.synchronise()
        events?.synchronise()
        let saved = try save()
        if ranks.isFirst { try writeLossPlot() }
        try tell(.checkpoint(saved))
      }
    }
    guard state.step == configuration.steps else { return .stopped(step: state.step) }
    if ranks.isFirst {
      try writeLossPlot()
      directory.checkpoints.prune(keeping: configuration.keepCheckpoints)
    }
    _ = try observe(.finished(state, model: directory.url))
    return .finished
  }

  /// A step under way.
  private struct SentStep {
    let k: Int
    let t: [Timestep]
    /// Where the data is after it.
    let cursor: Int
    let pending: TrainingEngine.Pending
  }

  /// Whether something is written or drawn after step k.
  private func isRecorded(_ k: Int) -> Bool {
    k == configuration.steps || k % configuration.logEvery == 0 || k % configuration.checkpointEvery == 0
      || previews && k % configuration.sampleEvery == 0
  }

  private func notFinite(step: Int, loss: Double, gradientNorm: Double) -> TrainingError {
    .notFinite(step: step, loss: loss, gradientNorm: gradientNorm, checkpoint: directory.checkpoints.lastPath)
  }
}
