import ArgumentParser
import DDPM
import Datasets
import Diffusion
import Files
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm demo`: all of it once, small, with where to read on.
struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "All of it in a few minutes: noise, training, sampling and likelihood, in the terminal.",
    discussion: """
      Adds noise to a character, trains a small network on 16×16 characters, draws from it and measures its likelihood; says where each \
      equation stands. Pictures are sixels where the terminal has them. The run is kept, and every other command works with it:

        ddpm demo
        ddpm trace runs/demo
      """)

  @Option(help: ArgumentHelp("Steps of training.", valueName: "n"))
  var steps = 800
  @Option(help: ArgumentHelp("The run's directory; a demo that is there is replaced.", valueName: "dir"))
  var out = "runs/demo"
  @Option(help: ArgumentHelp("Seed of all randomness.", valueName: "n"))
  var seed = 0
  @OptionGroup(title: "Computation") var backend: BackendOptions

  /// Pictures side by side in 80 columns.
  private static let across = 8

  func validate() throws {
    guard (20...100_000).contains(steps) else { throw ValidationError("steps is \(steps); choose 20 to 100000") }
  }

  func run() async throws {
    let terminal = Terminal()
    let characters = try Dataset.open("glyphs", options: .init(imageSize: 16))
    try noise(characters, terminal)
    let model = try train(terminal)
    try await sample(model, terminal)
    try measure(model, terminal)
    heading("5. And now", terminal)
    for line in [
      "The model is \(out), a diffusers pipeline. Try",
      "  ddpm sample \(out) --class A,B,C --count 9 --out abc.png",
      "  ddpm trace \(out)                      one sample's way, step by step",
      "  ddpm thermodynamics \(out) --data glyphs --limit 64",
      "and read docs/book: the derivation, with the code beside it.",
    ] { terminal.print(line) }
  }

  /// q(x_t | x_0).
  private func noise(_ characters: Dataset, _ terminal: Terminal) throws {
    heading("1. Noise", terminal)
    say(
      "x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε: a picture fades, until nothing is left of it but N(0, I).",
      "docs/equations.md, 2", "Sources/Diffusion/Process/ForwardProcess.swift", terminal)
    let schedule = try TrainingConfiguration(.glyphs).scheduler.schedule()
    let shown = schedule.timestepsAtEvenSignal(Self.across)
    let strip = try NoiseStrip(schedule, seed: UInt64(seed))(
      Image8(planes: try characters.load(1).pixels, width: 16, height: 16, channels: 1), timesteps: shown)
    terminal.draw(ImageStrip(background: 0).picture(of: strip))
    terminal.print("t = " + shown.map(String.init).joined(separator: ", "))
  }

  /// Algorithm 1.
  private func train(_ terminal: Terminal) throws -> Model {
    heading("2. Training", terminal)
    say(
      "A network sees x_t and t and says what the noise was; its squared error is all that is minimised.",
      "docs/equations.md, 11 and 15", "Sources/DDPM/Training/Program/TrainingProgram.swift", terminal)
    var configuration = TrainingConfiguration(.glyphs)
    configuration.imageSize = 16
    configuration.steps = steps
    configuration.warmupSteps = min(configuration.warmupSteps, steps / 4)
    configuration.seed = seed
    configuration.sampleEvery = max(1, steps / 4)
    configuration.sampleCount = Self.across
    configuration.sampleSteps = 20
    configuration.checkpointEvery = steps
    let run = try TrainingRun(
      configuration, output: URL(filePath: out), replaces: isDemo(), on: backend.make(threads: backend.threadCount),
      threads: backend.threadCount)
    StopSignals.watch()
    let outcome = try run { event in
      switch event {
      case .step(let report):
        let line =
          "step \(report.step)/\(report.steps)  loss \(Text.fixed(report.smoothedLoss, 4))  "
          + "\(Text.duration(report.secondsLeft)) left"
        terminal.live(line, log: line)
      case .samples(let url):
        terminal.end()
        terminal.print("what it draws after step \(url.lastPathComponent.filter(\.isNumber).drop { $0 == "0" }):")
        terminal.draw(try Image8(contentsOf: url))
      default: break
      }
      return StopSignals.pending == nil ? .goOn : .stopAndSave
    }
    terminal.end()
    if case .stopped = outcome, let signal = StopSignals.pending { throw ExitCode(128 + signal) }
    return run.model
  }

  /// Algorithm 2, in fewer steps.
  private func sample(_ model: Model, _ terminal: Terminal) async throws {
    heading("3. Sampling", terminal)
    say(
      "From pure noise, step by step to a picture: one sample on its way, and the first letters.",
      "docs/equations.md, 16", "Sources/Diffusion/Sampling/Sampler.swift", terminal)
    var request = SamplingRequest(count: Self.across)
    request.batchSize = Self.across
    request.seed = UInt64(seed)
    request.plan = try model.plan(.ddim, steps: 50)
    // The digits come first.
    request.condition = { .classes($0.map { 10 + $0 }) }
    var way: [Image8] = []
    for try await event in try model.sample(request) {
      switch event {
      case .step(let step):
        if SampleOutput.isView(step.progress.done, of: step.progress.count, views: Self.across) {
          way.append(step.progress.x.pictures[0])
        }
      case .samples(let samples):
        terminal.draw(ImageStrip(background: 0).picture(of: way))
        terminal.draw(ImageStrip(background: 0).picture(of: samples.pictures))
      }
    }
  }

  /// The bound on −log p(x_0).
  private func measure(_ model: Model, _ terminal: Terminal) throws {
    heading("4. Likelihood", terminal)
    say(
      "How many bits each pixel of a new picture costs whoever knows the model: the variational bound in its three parts.",
      "docs/equations.md, 4 and 5", "Sources/Diffusion/Likelihood/VariationalBound.swift", terminal)
    let data = try model.openData("glyphs", split: .test)
    let process = try model.process(variance: .fixedSmall, limit: .clip())
    let visits = try TimestepVisits(T: process.schedule.T, count: 20)
    let images = 16
    var statistics = BoundStatistics(T: process.schedule.T)
    let classes = try model.classNumbers(of: data)
    let run = try model.boundRun(
      VariationalBound(process, decoder: .discretized), visits: visits, seed: UInt64(seed), batchSize: 32)
    try run(&statistics, upTo: images, image: { try data.evaluationImage($0, classes: classes) }) { done, total, _ in
      terminal.live("prediction \(done)/\(total)")
    }
    terminal.end()
    terminal.print(
      "\(Text.fixed(statistics.total.mean, 3)) ± \(Text.fixed(statistics.total.standardError, 3)) bits a pixel, of 8 without a model: "
        + "\(images) pictures, \(visits.count) of \(process.schedule.T) timesteps each")
  }

  // MARK: Talk

  private func heading(_ text: String, _ terminal: Terminal) {
    for line in ["", text, ""] { terminal.print(line) }
  }

  private func say(_ what: String, _ equation: String, _ source: String, _ terminal: Terminal) {
    for line in [what, "\(equation); \(source)", ""] { terminal.print(line) }
  }

  /// Whether what is in the way is an earlier demo: anything else is not replaced.
  private func isDemo() -> Bool {
    let earlier = try? RunDirectory(URL(filePath: out)).readConfiguration()
    return earlier.map { $0.data == "glyphs" && $0.imageSize == 16 } ?? false
  }
}
