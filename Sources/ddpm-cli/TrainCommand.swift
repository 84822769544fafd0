import ArgumentParser
import CPUBackend
import DDPM
import Datasets
import Files
import Platform
import Ranks
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm train`: data in, a model directory out.
struct TrainCommand: ParsableCommand, RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a model.",
    discussion: """
      Without any option it learns to draw the embedded characters, in minutes:

        ddpm train --out runs/glyphs

      Data is a folder of PNG or JPEG images (sub-folder = class), MNIST's IDX files, CIFAR-10's binary batches, a .tar, \
      .tar.gz or .zip of these, or 'glyphs'; or points of the plane (moons, gaussians, swiss_roll, checkerboard, spiral, \
      drawing:FILE.png, a CSV or .npy file):

        ddpm train --preset mnist --data data/mnist --out runs/mnist
        ddpm train --preset small --data photos --image-size 64 --out runs/photos
        ddpm train --preset plane --data moons --out runs/moons

      With --start-from, the model's network and scheduler stay as they are: T, the schedule of β, the prediction and the \
      variance are taken from it, and an option that contradicts them is an error.

      Options come from the defaults, then the preset (then the model of --start-from), then --config (JSON or YAML, with the options' names and underscores \
      for hyphens), then the command line; each overrides what comes before. OUT/training.json holds what was used.

      OUT is a diffusers pipeline whose weights are the moving average. Beside it lie checkpoints/, samples/, metrics.jsonl, \
      loss.png, loss.svg and tensorboard/ (open with: tensorboard --logdir OUT/tensorboard).

      Ctrl-C or SIGTERM finishes the step, saves and exits with 130 or 143; a second one exits at once. After that, or after \
      a crash, this goes on exactly where the last checkpoint is:

        ddpm train --resume runs/mnist

      Built with MPI, several machines share the parts of each batch, and the result is the same to the last bit for any \
      number of them (docs/distributed.md):

        mpirun -n 4 ddpm train --accumulate 8 --out runs/glyphs

      Presets, of which glyphs is taken where the data is 'glyphs', and plane where it is an embedded set of points:
      \(TrainingConfiguration.Preset.allCases.map(\.help).joined(separator: "\n"))

      The defaults in the list of options are those without a preset.
      """)

  // MARK: Where

  @Option(
    help: ArgumentHelp(
      "The directory to write (default: runs/ and the name of the preset or the data).", valueName: "dir"))
  var out: String?

  @Option(help: ArgumentHelp("Go on with the run in this directory.", valueName: "dir"))
  var resume: String?

  @Flag(help: "Replace a run that is in the output directory.")
  var force = false

  @Option(help: ArgumentHelp("Train on from the weights of this model.", valueName: "model"))
  var startFrom: String?

  @Option(help: "A recipe: \(TrainingConfiguration.Preset.allCases.map(\.rawValue).joined(separator: ", ")).")
  var preset: TrainingConfiguration.Preset?

  @Option(help: ArgumentHelp("A JSON or YAML file with options.", valueName: "file"))
  var config: String?

  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Network") var network: NetworkOptions
  @OptionGroup(title: "Diffusion") var diffusion: DiffusionOptions
  @OptionGroup(title: "Optimisation") var optimisation: OptimisationOptions
  @OptionGroup(title: "Records") var records: RecordOptions
  @OptionGroup(title: "Computation") var backend: BackendOptions

  @Flag(
    help: "Time every operator of 20 steps (or of --steps), print the table and write OUT/profile.json, a Chrome trace."
  )
  var profile = false

  @Flag(
    help:
      "On an accelerator leave out operations that add in an order of their own: a run is the same each time, as on the cpu."
  )
  var deterministic = false

  @Option(
    help:
      "How several processes add gradients: exact, the same bits for any number of them; fast, as MPI likes it; or device, by the accelerators' own network."
  )
  var reduction = Reduction.exact

  private var overrides: [String: JSONValue] {
    var object: [String: JSONValue] = [:]
    for group in [data.object, network.object, diffusion.object, optimisation.object, records.object] {
      object.merge(group) { _, new in new }
    }
    if let threads = backend.threads { object["threads"] = .integer(threads) }
    if let device = backend.device { object["device"] = .string(device) }
    if let precision = backend.precision { object["precision"] = .string(precision) }
    if deterministic { object["deterministic"] = true }
    return object
  }

  @OptionGroup(title: "Talk") var talk: TalkOptions

  func run() throws {
    let terminal = talk.terminal()
    let run = try resume.map { try resumed(URL(filePath: $0)) } ?? started()
    // Until here, while data are read, there is nothing to save: a signal ends the process at once.
    StopSignals.watch()
    let outcome: TrainingRun.Outcome
    do {
      outcome = try run {
        show($0, on: terminal)
        return StopSignals.pending == nil ? .goOn : .stopAndSave
      }
    } catch {
      terminal.end()
      throw error
    }
    if case .stopped(let step) = outcome, let signal = try Launch.agreed(StopSignals.pending) {
      terminal.end()
      Terminal.complain(
        "stopped by signal \(signal) after step \(step); saved; go on with: "
          + "ddpm train --resume \(run.directory.url.relativePath)")
      throw ExitCode(128 + signal)
    }
    if profile, Launch.ranks.isFirst { try report(run, on: terminal) }
  }

  private func started() throws -> TrainingRun {
    let configuration = try newConfiguration()
    let directory = URL(filePath: out ?? "runs/\(preset?.rawValue ?? Self.lastPart(of: configuration.data))")
    let threads = configuration.threads ?? backend.threadCount
    return try prepared {
      try TrainingRun(
        configuration, output: directory, start: startFrom.map { URL(filePath: $0) }, replaces: force,
        ranks: Launch.ranks, reduction: reduction, on: makeBackend(configuration, threads: threads),
        threads: threads,
        progress: Self.readingProgress)
    }
  }

  private func resumed(_ directory: URL) throws -> TrainingRun {
    guard out == nil, preset == nil, config == nil, startFrom == nil, !force else {
      throw ValidationError(
        "--resume takes everything from its directory: leave out --out, --preset, --config, --start-from and --force")
    }
    let run = RunDirectory(directory)
    if Launch.ranks.isFirst { try run.recover() }
    return try prepared {
      // Exactly as before, unless asked otherwise.
      let configuration = try run.readConfiguration()
      let threads = backend.threads ?? configuration.threads ?? backend.threadCount
      return try TrainingRun(
        resuming: directory, changes: overrides, ranks: Launch.ranks, reduction: reduction,
        on: makeBackend(configuration, threads: threads), threads: threads,
        progress: Self.readingProgress)
    }
  }

  /// Prepares a run on the first rank and then on the others; on all at once where their accelerators work as one, which wait for each other.
  private func prepared(_ make: () throws -> TrainingRun) throws -> TrainingRun {
    guard Launch.ranks.isShared, reduction == .device else { return try Launch.firstThenOthers(make) }
    _ = try Launch.ranks.gather("")
    return try make()
  }

  private func makeBackend(_ configuration: TrainingConfiguration, threads: Int) throws -> any Backend {
    try backend.make(
      configuration.device, precision: configuration.precision, repeatable: configuration.deterministic,
      profiles: profile, threads: threads, joined: reduction == .device && Launch.ranks.isShared)
  }

  /// Reading thousands of pictures takes a while.
  private static let readingProgress: @Sendable (Int, Int) -> Void = { done, total in
    if done == total || done % 10_000 == 0 { Terminal.complain("read \(done) of \(total) images") }
  }

  /// `photos` of `data/photos.tar.gz`: what the output is called by default.
  private static func lastPart(of path: String) -> String {
    let last = path.split(separator: "/").last ?? "model"
    return last.split(separator: ".").first.map(String.init) ?? "model"
  }

  private func newConfiguration() throws -> TrainingConfiguration {
    var layers: [(source: String, object: [String: JSONValue])] = []
    var chosen = preset
    if let config {
      let file = try TrainingConfiguration.readFile(URL(filePath: config))
      chosen = preset ?? file.preset
      layers.append((config, file.object))
    }
    layers.append(("the command line", overrides))
    if let startFrom { layers.insert(try TrainingConfiguration.layer(ofModel: URL(filePath: startFrom)), at: 0) }
    if profile, optimisation.steps == nil { layers.append(("--profile", ["steps": 20])) }
    // Embedded data has a recipe of its own; other data gets the general one.
    let named = layers.last { $0.object["data"] != nil }?.object["data"]?.string ?? "glyphs"
    let own: TrainingConfiguration.Preset? =
      named == "glyphs" ? .glyphs : PointFigure(rawValue: named) != nil ? .plane : nil
    let base = (chosen ?? own).map { TrainingConfiguration($0) }
    let configuration = try TrainingConfiguration(over: base ?? TrainingConfiguration(), layers: layers)
    if let chosen, chosen != .glyphs, chosen != .plane, !layers.contains(where: { $0.object["data"] != nil }),
      access(configuration.data, F_OK) != 0
    {
      throw ConfigurationError(
        "the preset \(chosen.rawValue) is for \(chosen.dataInWords), and nothing says where they are", key: "data")
    }
    return configuration
  }

  private func show(_ event: TrainingEvent, on terminal: Terminal) {
    tell(event, on: terminal)
    switch event {
    case .prepared(let summary):
      terminal.print("data        \(summary.data)")
      terminal.print("network     \(Text.grouped(summary.parameterCount)) parameters")
      terminal.print("backend     \(summary.backend)")
      terminal.print(MemoryEstimate(plan: summary.memory, host: summary.hostMemory).line("data and copies"))
      if summary.ranks > 1 {
        terminal.print(
          "ranks       \(summary.ranks) on \(summary.hosts) host\(summary.hosts == 1 ? "" : "s"), for \(summary.parts) parts of each batch; "
            + "the memory is this one's")
      }
      let from = summary.firstStep > 0 ? " from step \(summary.firstStep)" : ""
      terminal.print("training    \(Text.grouped(summary.steps)) steps of \(summary.batchSize) images\(from)")
    case .warning(let text): Terminal.complain("warning: \(text)")
    case .step(let report):
      terminal.live(
        line(report),
        fields: [
          "step": .integer(report.step), "of": .integer(report.steps), "loss": .number(report.smoothedLoss),
          "images_per_second": .number(report.imagesPerSecond), "seconds_left": .number(report.secondsLeft),
        ])
    case .logged(let metrics):
      if !terminal.isInteractive {
        terminal.print(
          "step \(metrics.step)  loss \(Text.fixed(metrics.loss, 5))  |g| \(Text.fixed(metrics.gradientNorm, 3))  "
            + "lr \(Float(metrics.learningRate))  \(Text.short(metrics.imagesPerSecond)) images/s")
      }
    case .checkpoint(let url): if !terminal.isInteractive { terminal.print("saved \(url.relativePath)") }
    case .samples(let url): terminal.print("samples     \(url.relativePath)")
    case .finished(let state, let model):
      terminal.print(
        "finished    \(Text.grouped(state.step)) steps, loss \(Text.fixed(state.smoothedLoss ?? .nan, 5)); "
          + "the model is \(model.relativePath)")
      terminal.print("            ddpm sample \(model.relativePath) --out samples.png")
    }
  }

  /// The same for programs.
  private func tell(_ event: TrainingEvent, on terminal: Terminal) {
    switch event {
    case .prepared(let summary):
      terminal.tell(
        "prepared",
        [
          "data": .string(summary.data), "parameters": .integer(summary.parameterCount),
          "backend": .string(summary.backend), "first_step": .integer(summary.firstStep),
          "steps": .integer(summary.steps), "batch_size": .integer(summary.batchSize),
          "memory": .integer(summary.memory.total + summary.hostMemory),
        ])
    case .warning(let text): terminal.tell("warning", ["text": .string(text)])
    case .step: break
    case .logged(let metrics): terminal.tell("logged", metrics.json.object ?? [:])
    case .checkpoint(let url): terminal.tell("checkpoint", ["path": .string(url.relativePath)])
    case .samples(let url): terminal.tell("samples", ["path": .string(url.relativePath)])
    case .finished(let state, let model):
      terminal.tell("finished", ["steps": .integer(state.step), "model": .string(model.relativePath)])
    }
  }

  private func line(_ report: StepReport) -> String {
    "step \(report.step)/\(report.steps)  loss \(Text.fixed(report.smoothedLoss, 5))  "
      + "\(Text.short(report.imagesPerSecond)) images/s  \(Text.duration(report.secondsLeft)) left  "
      + Text.mebibytes(residentBytes())
  }

  private func report(_ run: TrainingRun, on terminal: Terminal) throws {
    guard var profile = backend.profile(of: run.engine.executable) else { return }
    for exchange in run.engine.exchanges { profile.add(exchange.label, start: exchange.start, end: exchange.end) }
    ProfileTable(profile).print(on: terminal)
    let url = run.directory.url.appending(path: "profile.json")
    try AtomicFile.write(profile.chromeTrace, to: url)
    terminal.print("wrote \(url.relativePath): open it in chrome://tracing or ui.perfetto.dev")
  }
}

extension Reduction: ExpressibleByArgument {}

extension TrainingConfiguration.Preset: ExpressibleByArgument {
  fileprivate var dataInWords: String {
    switch self {
    case .glyphs: "the embedded characters"
    case .mnist: "MNIST's files"
    case .cifar10: "CIFAR-10's binary batches"
    case .small: "your own pictures"
    case .plane: "points"
    }
  }

  /// What it is, and what it sets.
  fileprivate var help: String {
    let set = TrainingConfiguration(self)
    return """
        \(rawValue): \(summary)
          data \(set.data), \(Text.grouped(set.steps)) steps of \(set.batchSize) images, prediction \(set.prediction)
      """
  }
}
