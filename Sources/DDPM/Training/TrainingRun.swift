import Datasets
import Diffusers
import Diffusion
import Files
import Networks
import Ranks
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
/// let outcome = try run { event in
///   if case .logged(let metrics) = event { print(metrics.step, metrics.loss) }
///   return .goOn
/// }
/// ```
public final class TrainingRun {
  /// As it is carried out: what was left open is filled in.
  public let configuration: TrainingConfiguration
  /// Where everything is written.
  public let directory: RunDirectory
  /// What is trained on.
  public let data: Dataset
  /// What is trained, as it is drawn from: the moving average.
  public let model: Model
  /// Where the run is.
  public internal(set) var state = TrainingState()
  /// The compiled step, with parameters, moments and average.
  public let engine: TrainingEngine

  let network: any StoredArchitecture
  /// The moving average, as ``model`` reads it.
  let average: any States
  /// The directory is this run's alone while it lives; the first rank's, where there are several.
  private let hold: RunHold?
  /// Who computes the batches together. The first writes and, but for errors, speaks; the others only compute.
  let ranks: any Communicator
  /// What a checkpoint belongs to.
  let identity: [String: String]
  /// Of the model that is trained on, until they are in the engine.
  var initialWeights: NetworkWeights?
  /// What computes.
  public let backend: any Backend
  let resumes: Bool
  let replaces: Bool
  var draw: TimestepDraw
  let condition: ConditionDraw
  var warnings: [String] = []
  /// Which rank keeps the others waiting.
  var straggler = Straggler()

  /// What a watcher answers to every event.
  public enum Answer: Sendable {
    case goOn
    /// Finish the step, write a checkpoint and return.
    case stopAndSave
  }

  /// How a run ended.
  public enum Outcome: Sendable, Equatable {
    case finished
    /// The watcher asked for it; a checkpoint of the step was written.
    case stopped(step: Int)
  }

  /// Prepares a new run: opens the data, compiles the step. Nothing is written yet.
  ///
  /// - Parameters:
  ///   - data: trained on in place of what the configuration names; a resumed run has to be given it again.
  ///   - start: A model directory whose network, scheduler and weights are trained on. The configuration has to agree with its
  ///     scheduler: ``TrainingConfiguration/layer(ofModel:)`` makes it so.
  ///   - replaces: Whether an earlier run in `output` is removed.
  ///   - ranks: Who computes it together, each of which makes the same run. The first has to be ready before the others begin.
  ///   - reduction: How they add gradients; not recorded.
  ///   - threads: What `backend` uses; recorded, because other numbers sum in other orders.
  ///   - progress: Told how many images of how many are read.
  public convenience init(
    _ configuration: TrainingConfiguration, data: Dataset? = nil, output: URL, start: URL? = nil,
    replaces: Bool = false, ranks: any Communicator = Alone(), reduction: Reduction = .exact, on backend: any Backend,
    threads: Int = 1,
    progress: (@Sendable (Int, Int) -> Void)? = nil
  ) throws {
    let hold = ranks.isFirst ? try RunHold(output, makesFolder: true) : nil
    do {
      if let obstacle = hold?.directory.firstObstacle, !replaces {
        throw TrainingError.outputExists(output.path, obstacle: obstacle)
      }
      try self.init(
        configuration, data, RunDirectory(output), hold, start: start, resumes: false, replaces: replaces, ranks: ranks,
        reduction: reduction,
        on: backend, threads: threads, progress: progress)
    } catch {
      // What could not start leaves nothing behind.
      hold?.undo()
      throw error
    }
  }

  /// Prepares to go on where the newest checkpoint of a run is. A run that is finished has only its plots written again.
  ///
  /// - Parameters:
  ///   - changes: Options that a resumed run may change: its length and what it records.
  ///   - ranks: As many as one likes: not what they were before.
  ///   - reduction: How they add gradients.
  public convenience init(
    resuming output: URL, changes: [String: JSONValue] = [:], data: Dataset? = nil, ranks: any Communicator = Alone(),
    reduction: Reduction = .exact, on backend: any Backend, threads: Int = 1,
    progress: (@Sendable (Int, Int) -> Void)? = nil
  ) throws {
    guard FileManager.default.fileExists(atPath: output.path) else { throw TrainingError.nothingToResume(output.path) }
    let hold = ranks.isFirst ? try RunHold(output, makesFolder: false) : nil
    let directory = RunDirectory(output)
    let earlier = try directory.readConfiguration()
    let configuration = try TrainingConfiguration(over: earlier, layers: [("the changes", changes)])
    let (before, after) = (earlier.object, configuration.object)
    for key in TrainingConfiguration.CodingKeys.allCases where before[key.rawValue] != after[key.rawValue] {
      guard TrainingConfiguration.changeable.contains(key) else {
        throw TrainingError.changed(
          key: key.rawValue, from: (before[key.rawValue] ?? .null).compactText,
          to: (after[key.rawValue] ?? .null).compactText)
      }
    }
    try self.init(
      configuration, data, directory, hold, start: nil, resumes: true, replaces: false, ranks: ranks,
      reduction: reduction, on: backend,
      threads: threads, progress: progress)
    try restore(threads: threads)
  }

  private init(
    _ configuration: TrainingConfiguration, _ given: Dataset?, _ directory: RunDirectory, _ hold: RunHold?, start: URL?,
    resumes: Bool, replaces: Bool, ranks: any Communicator, reduction: Reduction, on backend: any Backend, threads: Int,
    progress: (@Sendable (Int, Int) -> Void)?
  ) throws {
    try configuration.validate()
    let sharesParts = backend.processCount > 1
    guard sharesParts || ranks.count <= configuration.accumulate else {
      throw RankError.parts(configuration.accumulate, ranks: ranks.count)
    }
    guard !ranks.isShared || sharesParts || backend.deviceCount == 1 else {
      throw RankError.devices(backend.deviceCount)
    }
    self.hold = hold
    self.directory = directory
    self.ranks = ranks
    self.backend = backend
    self.resumes = resumes
    self.replaces = replaces
    data =
      try given
      ?? Dataset.open(
        configuration.data,
        options: .init(
          imageSize: configuration.imageSize, channels: configuration.channels,
          skipBadImages: configuration.skipBadImages, seed: UInt64(configuration.seed), progress: progress))

    identity = ["data": try data.digest()]
    // What was left open is now known.
    var resolved = configuration
    resolved.flip = configuration.flip ?? data.isMirrorable
    resolved.threads = threads
    let scheduler: SchedulerConfig
    let card: ModelCard
    if let start {
      let (pipeline, weights) = try PipelineDirectory.load(start)
      scheduler = try resolved.agreed(with: pipeline.scheduler(), of: start.path)
      network = try resolved.adopt(pipeline.network, pipeline.card, from: start.path, data: data)
      card = pipeline.card
      initialWeights = weights
    } else if resumes {
      // The network and the scheduler of a run that started from a model are not in its configuration.
      let pipeline = try PipelineDirectory(readingConfigurationOf: directory.url)
      scheduler = try resolved.agreed(with: pipeline.scheduler(), of: directory.url.path, resumes: true)
      (network, card) = (pipeline.network, pipeline.card)
    } else {
      var chosen = resolved.scheduler
      // Numbers that are no pixels have no range that x̂_0 could be kept in.
      chosen.clipsSample = data.isPixels
      scheduler = chosen
      (network, card) = try resolved.network(data)
      if let unet = network as? UNetConfig { resolved.attentionResolutions = unet.attentionSides(of: data.shape) }
      let absent = Set(configuration.attentionResolutions ?? []).subtracting(resolved.attentionResolutions ?? [])
      if !absent.isEmpty {
        warnings.append(
          "no level of the network has side \(absent.sorted().map(String.init).joined(separator: " or ")): no attention there"
        )
      }
    }
    let process = try scheduler.process()
    let left = process.schedule.ᾱ[process.schedule.last]
    if left > 1e-3 {
      let remedy = start == nil && !resumes ? "; rescaled β, zero terminal SNR or more timesteps mend it" : ""
      warnings.append(
        "ᾱ_T is \((1000 * left).rounded() / 1000): training ends at images that are not yet noise, and sampling begins at pure noise"
          + remedy)
    }
    if resolved.warmupSteps >= resolved.steps {
      warnings.append(
        "the warm-up of \(resolved.warmupSteps) steps is not over when training ends after \(resolved.steps)")
    }
    self.configuration = resolved
    (state.threads, state.arithmetic) = (threads, backend.arithmetic)
    state.seed = configuration.seed
    draw = TimestepDraw(
      T: process.schedule.T, seed: UInt64(configuration.seed), sampling: configuration.timestepSampling)
    let size = SampleSize(height: data.shape.height, width: data.shape.width)
    var program = TrainingProgram(
      network: network, process: process, objective: configuration.objective, adam: configuration.adam,
      gradientClip: configuration.gradientClip, batchSize: configuration.batchSize / configuration.accumulate,
      size: size)
    program.parts = configuration.accumulate
    guard program.batchSize % backend.deviceCount == 0 else {
      throw ConfigurationError(
        "\(program.batchSize) images, computed at once, cannot be shared by \(backend.deviceCount) devices: take a multiple",
        key: TrainingConfiguration.CodingKeys.batchSize.rawValue)
    }
    do {
      engine = try TrainingEngine(
        program, card: card, seed: UInt64(configuration.seed), ranks: ranks, reduction: reduction, on: backend)
    } catch ProgramError.shape(let error) {
      throw ConfigurationError(
        "a batch of \(program.batchSize) images is too large: take fewer, or accumulate more parts (\(error))",
        key: TrainingConfiguration.CodingKeys.batchSize.rawValue)
    }
    // Of several ranks none has the whole average; the first brings it together when it is drawn from.
    let own = backend.withinProcess
    let average = ranks.isShared ? try own.makeStates(for: [network.averageAlone()]) : engine.states
    model = try Model(
      network, scheduler: scheduler, card: card, states: average, prefix: StateName.ema, directory: directory.url,
      on: own)
    self.average = average
    condition = ConditionDraw(
      classes: try model.classNumbers(of: data), card: card,
      dropout: resolved.conditionDropout ?? TrainingConfiguration.usualConditionDropout,
      seed: UInt64(configuration.seed), shape: data.shape)
    // Compiled now, so that the memory is known before the first step.
    if previews, ranks.isFirst { _ = try previewNetwork() }
    if ranks.isShared, reduction == .fast {
      warnings.append(
        "gradients are added in the order that is fastest: another number of ranks gives other last digits")
    }
    if !sharesParts, configuration.accumulate % ranks.count != 0 {
      warnings.append(
        "\(configuration.accumulate) parts do not divide among \(ranks.count) ranks: some compute one more than others, who wait"
      )
    }
  }

  private func restore(threads: Int) throws {
    let (checkpoint, warning) = try directory.checkpoints.newest(network: network, identity: identity)
    if let warning { warnings.append(warning) }
    state = checkpoint.state
    try checkpoint.load(into: engine.states, where: engine.holds)
    if draw.importance != nil { draw.restore(try checkpoint.history(T: process.schedule.T)) }
    let before = state.arithmetic ?? "cpu float32"
    if before != backend.arithmetic {
      warnings.append(
        "the run was computed by \(before) and goes on with \(backend.arithmetic): the result will differ in its last digits"
      )
      state.arithmetic = backend.arithmetic
    } else if state.threads != threads, !backend.isAsynchronous {
      warnings.append(
        "the run was computed by \(state.threads) threads and goes on with \(threads): sums are taken in another order, "
          + "so the result will differ in its last digits; \(state.threads) threads continue exactly")
    }
    state.threads = threads
  }

  /// The reverse process that is trained.
  public var process: ReverseProcess { engine.program.process }

  /// Whether grids of samples are drawn; nothing can be seen of vectors that are no images.
  var previews: Bool { configuration.sampleEvery > 0 && data.isPixels && engine.card.pictures == nil }
}
