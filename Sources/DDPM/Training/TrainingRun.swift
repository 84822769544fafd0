import Datasets
import Diffusers
import Diffusion
import Files
import Networks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A whole training run: data in, a model directory out. What `ddpm train` does.
///
/// ```swift
/// var configuration = TrainingConfiguration(.glyphs)
/// configuration.steps = 500
/// let run = try TrainingRun(configuration, output: folder, on: CPUBackend())
/// try run { event in if case .logged(let metrics) = event { print(metrics.step, metrics.loss) } }
/// ```
public final class TrainingRun {
  public let configuration: TrainingConfiguration
  public let directory: RunDirectory
  public let data: Dataset
  public let network: UNetConfig
  public let process: ReverseProcess
  public private(set) var state = TrainingState()
  public let engine: TrainingEngine

  private let scheduler: SchedulerConfig
  /// Of the model that is trained on, until they are in the engine.
  private var initialWeights: NetworkWeights?
  private let backend: any Backend
  private let threads: Int
  private let resumes: Bool
  private let replaces: Bool
  private var draw: TimestepDraw
  /// Evaluates the average for sample grids; nil where none are wanted.
  private var previewDenoiser: UNetDenoiser?
  private var warnings: [String] = []

  /// Prepares a new run: opens the data, compiles the step. Nothing is written yet.
  ///
  /// - Parameters:
  ///   - start: A model directory whose network, scheduler and weights are trained on. The configuration has to agree with its
  ///     scheduler: ``TrainingConfiguration/layer(ofModel:)`` makes it so.
  ///   - replaces: Whether an earlier run in `output` is removed.
  ///   - threads: What `backend` uses; recorded, because other numbers sum in other orders.
  ///   - progress: Told how many images of how many are read.
  public convenience init(
    _ configuration: TrainingConfiguration, output: URL, start: URL? = nil, replaces: Bool = false,
    on backend: any Backend, threads: Int = 1, progress: (@Sendable (Int, Int) -> Void)? = nil
  ) throws {
    let directory = RunDirectory(output)
    if directory.isUsed && !replaces { throw TrainingError.outputExists(output.path) }
    try self.init(
      configuration, directory, start: start, resumes: false, replaces: replaces, on: backend, threads: threads,
      progress: progress)
  }

  /// Prepares to go on where the newest checkpoint of a run is.
  ///
  /// - Parameter changes: Options that a resumed run may change: its length and what it records.
  public convenience init(
    resuming output: URL, changes: [String: JSONValue] = [:], on backend: any Backend, threads: Int = 1,
    progress: (@Sendable (Int, Int) -> Void)? = nil
  ) throws {
    let directory = RunDirectory(output)
    let earlier = try directory.readConfiguration()
    let configuration = try TrainingConfiguration(over: earlier, layers: [("the command line", changes)])
    let (before, after) = (earlier.object, configuration.object)
    for key in TrainingConfiguration.CodingKeys.allCases where before[key.rawValue] != after[key.rawValue] {
      guard TrainingConfiguration.changeable.contains(key) else {
        throw TrainingError.changed(
          key: key.rawValue, from: (before[key.rawValue] ?? .null).compactText,
          to: (after[key.rawValue] ?? .null).compactText)
      }
    }
    guard let step = directory.checkpoints.steps.last else { throw TrainingError.nothingToResume(output.path) }
    guard step < configuration.steps else { throw TrainingError.alreadyFinished(output.path, steps: step) }
    try self.init(
      configuration, directory, start: nil, resumes: true, replaces: false, on: backend, threads: threads,
      progress: progress)
    let checkpoint = Checkpoint(folder: directory.checkpoints.url(step: step))
    state = try checkpoint.state()
    guard state.step == step else {
      throw TrainingError.damagedCheckpoint(checkpoint.folder.path, "state.json: step is \(state.step)")
    }
    try checkpoint.load(into: engine.states, network: network)
    if draw.importance != nil { draw.restore(try checkpoint.history(T: process.schedule.T)) }
    if state.threads != threads {
      warnings.append(
        "the run was computed by \(state.threads) threads and goes on with \(threads): sums are taken in another order, "
          + "so the result will differ in its last digits; --threads \(state.threads) continues exactly")
      state.threads = threads
    }
  }

  private init(
    _ configuration: TrainingConfiguration, _ directory: RunDirectory, start: URL?, resumes: Bool, replaces: Bool,
    on backend: any Backend, threads: Int, progress: (@Sendable (Int, Int) -> Void)?
  ) throws {
    try configuration.validate()
    self.directory = directory
    self.backend = backend
    self.threads = threads
    self.resumes = resumes
    self.replaces = replaces
    data = try Dataset.open(
      configuration.data,
      options: .init(
        imageSize: configuration.imageSize, channels: configuration.channels,
        skipBadImages: configuration.skipBadImages, seed: UInt64(configuration.seed), progress: progress))

    // What was left open is now known.
    var resolved = configuration
    resolved.flip = configuration.flip ?? data.isMirrorable
    resolved.threads = threads
    if let start {
      let (pipeline, weights) = try PipelineDirectory.load(start)
      scheduler = try resolved.agreed(with: pipeline.scheduler(), of: start.path)
      network = try resolved.adopt(pipeline.unet, from: start.path, data: data)
      initialWeights = weights
    } else if resumes {
      // The network and the scheduler of a run that started from a model are not in its configuration.
      let pipeline = try PipelineDirectory(readingConfigurationOf: directory.url)
      scheduler = try resolved.agreed(with: pipeline.scheduler(), of: directory.url.path, resumes: true)
      network = pipeline.unet
      initialWeights = nil
    } else {
      scheduler = try resolved.scheduler()
      network = try resolved.network(data)
      resolved.attentionResolutions = network.attentionSides(of: data.shape)
      let absent = Set(configuration.attentionResolutions ?? []).subtracting(resolved.attentionResolutions ?? [])
      if !absent.isEmpty {
        warnings.append(
          "no level of the network has side \(absent.sorted().map(String.init).joined(separator: " or ")): no attention there"
        )
      }
      initialWeights = nil
    }
    process = try scheduler.process()
    let left = process.schedule.ᾱ[process.schedule.last]
    if left > 1e-3 {
      let remedy = start == nil && !resumes ? "; try --rescale-betas, --zero-terminal-snr or more --timesteps" : ""
      warnings.append(
        "ᾱ_T is \((1000 * left).rounded() / 1000): training ends at images that are not yet noise, and sampling begins at pure noise"
          + remedy)
    }
    self.configuration = resolved
    state.threads = threads
    state.seed = configuration.seed
    draw = TimestepDraw(
      T: process.schedule.T, seed: UInt64(configuration.seed), sampling: configuration.timestepSampling)
    var program = TrainingProgram(
      network: network, process: process, objective: try configuration.objective(), adam: configuration.adam,
      gradientClip: configuration.gradientClip, batchSize: configuration.batchSize / configuration.accumulate,
      height: data.shape.height, width: data.shape.width)
    program.parts = configuration.accumulate
    do { engine = try TrainingEngine(program, seed: UInt64(configuration.seed), on: backend) } catch ProgramError.shape(
      let error)
    {
      throw ConfigurationError(
        "a batch of \(program.batchSize) images is too large: lower --batch-size, or add --accumulate (\(error))")
    }
    guard configuration.sampleEvery > 0 else { return }
    previewDenoiser = try UNetDenoiser(
      network, batchSize: min(configuration.sampleCount, 16), height: data.shape.height, width: data.shape.width,
      on: backend, prefix: StateName.ema, states: engine.states)
  }

  /// Trains to the end, or until a signal asks to stop.
  ///
  /// - Throws: ``TrainingError/interrupted(signal:step:)`` after saving; ``TrainingError/notFinite(step:loss:gradientNorm:checkpoint:)``;
  ///   and what reading data and writing files throw.
  public func callAsFunction(observe: (TrainingEvent) throws -> Void) throws {
    try begin()
    let log = try MetricsLog(directory.metrics, after: state.step)
    let events = try EventFile(folder: directory.tensorBoard, firstStep: state.step)
    for skipped in data.skipped.prefix(20) { warnings.append("skipped \(skipped)") }
    if data.skipped.count > 20 { warnings.append("skipped \(data.skipped.count) images in all") }
    try observe(.prepared(summary))
    for warning in warnings { try observe(.warning(warning)) }

    let loader = BatchLoader(
      data, batchSize: configuration.batchSize, seed: UInt64(configuration.seed), cursor: state.cursor,
      mirrors: configuration.flip ?? false)
    var window = MetricsWindow(T: process.schedule.T)
    var clock = StepClock(batchSize: configuration.batchSize)

    while state.step < configuration.steps {
      clock.start()
      let k = state.step + 1
      let batch = try loader.next()
      let (t, weights) = draw.draw(step: k, first: batch.cursor, count: configuration.batchSize)
      let schedule = TrainingEngine.Schedule(
        step: k, learningRate: configuration.learningRate(step: k), emaDecay: configuration.emaDecay(step: k))
      let result = try engine.step(
        .init(x0: batch.x0, t: t, weights: weights, first: batch.cursor, labels: batch.labels), schedule)
      guard result.loss.isFinite, result.gradientNorm.isFinite else {
        let last = directory.checkpoints.steps.last.map { directory.checkpoints.url(step: $0).path }
        throw TrainingError.notFinite(
          step: k, loss: result.loss, gradientNorm: result.gradientNorm, checkpoint: last)
      }
      draw.record(result.losses, at: t)
      window.add(loss: result.loss, gradientNorm: result.gradientNorm, losses: result.losses, t: t)
      state.step = k
      state.cursor = loader.cursor
      state.smoothedLoss = state.smoothedLoss.map { 0.98 * $0 + 0.02 * result.loss } ?? result.loss
      clock.stop()
      try observe(
        .step(
          StepReport(
            step: k, steps: configuration.steps, loss: result.loss, smoothedLoss: state.smoothedLoss ?? result.loss,
            gradientNorm: result.gradientNorm, imagesPerSecond: clock.imagesPerSecond,
            secondsLeft: clock.secondsPerStep * Double(configuration.steps - k))))

      let isLast = k == configuration.steps
      let signal = StopSignals.pending
      if k % configuration.logEvery == 0 || isLast {
        let metrics = Metrics(
          step: k, loss: window.meanLoss, lossByQuartile: window.lossByQuartile,
          gradientNorm: window.meanGradientNorm, learningRate: schedule.learningRate, emaDecay: schedule.emaDecay,
          imagesPerSecond: clock.imagesPerSecond, seconds: clock.total)
        window = MetricsWindow(T: process.schedule.T)
        state.bestLoss = min(state.bestLoss ?? .infinity, metrics.loss)
        try log.append(metrics)
        try events.write(metrics)
        try observe(.logged(metrics))
      }
      if let denoiser = previewDenoiser, k % configuration.sampleEvery == 0 || isLast, signal == nil {
        let url = directory.picture(step: k)
        let picture = try preview(denoiser)
        try picture.writePNG(to: url)
        try events.image("samples", picture, step: k)
        try observe(.samples(url))
      }
      if k % configuration.checkpointEvery == 0 || isLast || signal != nil {
        log.synchronise()
        events.synchronise()
        try observe(.checkpoint(save()))
      }
      if let signal, !isLast { throw TrainingError.interrupted(signal: signal, step: k) }
    }
    try writeLossPlot()
    try observe(.finished(state, model: directory.url))
  }

  private var summary: TrainingSummary {
    TrainingSummary(
      data: "\(data)", parameterCount: engine.program.parameterCount, backend: backend.name,
      memory: memoryPlan, hostMemory: hostMemory, firstStep: state.step, steps: configuration.steps,
      batchSize: configuration.batchSize)
  }

  private var memoryPlan: MemoryPlan {
    previewDenoiser.map { engine.memoryPlan.with($0.executable.memoryPlan) } ?? engine.memoryPlan
  }

  private var hostMemory: Int {
    let batches = 8 * configuration.batchSize * data.shape.count * MemoryLayout<Float>.stride
    // The program, its libraries, and what the allocator keeps.
    let process = 80 << 20
    return data.heldByteCount + batches + process
  }

  /// Makes the directory ready, and for a new run draws the first weights.
  private func begin() throws {
    if replaces { try directory.clear() }
    try directory.create()
    directory.checkpoints.removeLeftovers()
    for folder in [directory.url, directory.samples, directory.url.appending(path: "unet")] {
      AtomicFile.removeLeftovers(in: folder)
    }
    try directory.write(configuration)
    guard !resumes else { return }
    if let weights = initialWeights {
      try engine.start(from: weights)
      initialWeights = nil
    } else {
      let initialization = WeightInitialization(rawValue: configuration.initialization) ?? .ddpm
      try engine.start(by: initialization, seed: UInt64(configuration.seed))
    }
    // So that a run that is killed before its first checkpoint can be resumed, and its model opened.
    _ = try save()
  }

  /// Writes a checkpoint, and the average as the model.
  private func save() throws -> URL {
    let url = try directory.checkpoints.write(step: state.step) { folder in
      try Checkpoint.write(state, engine.states, network: network, history: draw.importance, to: folder)
    }
    let average = try NetworkWeights.sources(in: engine.states, of: network, prefix: StateName.ema)
    try PipelineDirectory(unet: network, scheduler: scheduler.members).write(average, to: directory.url)
    directory.checkpoints.prune(keeping: configuration.keepCheckpoints)
    return url
  }
}
