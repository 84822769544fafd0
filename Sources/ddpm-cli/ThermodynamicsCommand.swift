import ArgumentParser
import DDPM
import Datasets
import Diffusers
import Diffusion
import Files
import Networks
import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm thermodynamics`: the forward process as physics, measured with a model.
struct ThermodynamicsCommand: ParsableCommand, BoundMeasuring {
  static let configuration = CommandConfiguration(
    commandName: "thermodynamics",
    abstract: "Measure information, entropy and dissipation over t, and when a picture is decided.",
    discussion: """
      Of a model's errors at each t follow what x_t still tells of the image, its entropy, its distance from equilibrium and the \
      entropy that each step produces; when classes part (speciation), and until when x_t cannot tell which of the data's images it \
      came from (collapse). docs/thermodynamics.md has the identities.

        ddpm thermodynamics runs/mnist --data mnist --plot heat.png
        ddpm thermodynamics runs/moons --data moons --limit 2000 --clones 500 --json heat.json

      Cloning looks at the model itself: from x_t two copies go their own ways back, and the table says how often they end in one class \
      (φ), and how alike: 1 is the same image, 0 as unlike as two of the data. Next to it stands what the errors say of that.

      The last table is the bound in few steps, at levels of several spacings: 'dissipation' shares the measured entropy production \
      equally among the steps, 'best' is the least that any levels give. --keep leaves the production in the model's directory, for \
      'ddpm sample --spacing dissipation'; --betas writes a configuration for training with steps that all produce the same:

        ddpm thermodynamics runs/mnist --data mnist --keep --betas even.json
        ddpm sample runs/mnist --sampler ddim --steps 20 --spacing dissipation
        ddpm train --preset mnist --data mnist --config even.json --out runs/even

      The errors at t that no image visits are interpolated. A model with classes is told each image's own; --class-given none tells it \
      none. Copies are drawn of no class where the model knows how.
      """)

  enum ClassGiven: String, CaseIterable, ExpressibleByArgument {
    case own, none
  }

  @Argument(help: "A diffusers pipeline directory.")
  var model: String

  @Option(
    help: ArgumentHelp("A folder, an archive, an IDX file, points (moons, spiral, …), or 'glyphs'.", valueName: "path"))
  var data: String
  @Option(help: "train or test.")
  var split = Dataset.Split.test
  @Option(help: ArgumentHelp("The first n images (default: 256).", valueName: "n"))
  var limit: Int?
  @Option(help: ArgumentHelp("Timesteps of each image (default: 100).", valueName: "K"))
  var timesteps: Int?
  @Option(help: "What a model with classes is told of an image: its own class, or none.")
  var classGiven = ClassGiven.own
  @Option(help: ArgumentHelp("Trajectories to clone; 0 for none.", valueName: "n"))
  var clones = 64
  @Option(help: ArgumentHelp("Steps of these trajectories (default: 50).", valueName: "n"))
  var cloneSteps: Int?
  @Option(help: ArgumentHelp("Predictions computed together: speed and memory, never the result.", valueName: "n"))
  var batchSize = 32
  @Option(help: ArgumentHelp("Seed of all noise.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "Keep the entropy production in the model's directory.")
  var keep = false
  @Option(
    help: ArgumentHelp("Write β whose steps all produce the same, for 'ddpm train --config FILE'.", valueName: "file"))
  var betas: String?
  @OptionGroup var files: ReportOptions
  @Option(
    help: ArgumentHelp(
      "Keep the state in this file, every half minute and on Ctrl-C, and that of cloning in FILE.clones; go on from it where it exists.",
      valueName: "file"))
  var resume: String?
  @OptionGroup(title: "Computation") var backend: BackendOptions
  @OptionGroup(title: "Talk") var talk: TalkOptions

  func validate() throws {
    guard (0...100_000).contains(clones) else { throw ValidationError("clones is \(clones); choose 0 to 100000") }
  }

  func run() throws {
    let terminal = talk.terminal()
    try files.check()
    guard (1...SamplingError.largestBatch).contains(batchSize) else { throw EvaluationError.batchSize(batchSize) }
    for path in [files.json, files.plot, betas, resume].compactMap({ $0 }) { try Output.check(path) }

    // Numbers must not depend on what a timer said.
    let model = try Model(URL(filePath: model), on: try backend.make(repeatable: true))
    let data = try model.openData(self.data, split: split)
    // β̃, whose terms are information, where the model leaves a choice.
    let process = try model.process(
      variance: model.scheduler.variance.isLearned ? nil : .fixedSmall, limit: data.isPixels ? .clip() : X0Limit.none)
    let T = process.schedule.T
    let visits = try TimestepVisits(T: T, count: timesteps ?? min(100, T))
    let classes = try model.classNumbers(of: data)
    if classGiven == .none {
      guard model.classCount != nil else { throw SamplingError.noClasses }
      guard model.card.nullClass != nil else { throw SamplingError.noNullClass }
    }
    let count = limit ?? min(256, data.count)
    guard (1...data.count).contains(count) else { throw EvaluationError.limit(count, available: data.count) }
    let subject = EvaluationSubject(
      model: self.model, data: data.name, split: data.split, variance: process.variance,
      limit: process.limit, seed: seed, timesteps: visits.count, T: T)

    let file = resume.map { URL(filePath: $0) }
    var state = try readState(
      subject, model, data, metric: "thermodynamics" + (classGiven == .none ? " under no class" : ""), in: file)
    let finished = state.statistics.images.count
    guard finished <= count else {
      throw EvaluationError.tooManyImages(resume ?? "", found: finished, wanted: count)
    }
    terminal.print("data        \(data); \(Text.grouped(count)) measured, from the first")
    terminal.print("model       \(self.model): T = \(T), \(visits.count) timesteps an image")
    if finished > 0 { terminal.print("resumed     \(Text.grouped(finished)) images are done") }
    let batch = min(batchSize, max(count * visits.count, clones))
    let run = try model.boundRun(
      bound(process, of: data), visits: visits, seed: seed, batchSize: batch,
      size: SampleSize(height: data.shape.height, width: data.shape.width))
    var seconds = try measure(
      run, &state, data, count, classes, isTold: classGiven == .own, in: file, terminal)

    var cloning: CloningStatistics?
    if clones > 0 {
      let (statistics, taken) = try clone(model, data, run.denoiser, subject, terminal)
      cloning = statistics
      seconds += taken
    }
    terminal.print("took        \(Text.duration(seconds))")

    // Whoever is told the class has only to tell its images apart.
    let told = classes != nil && classGiven == .own ? max(1, model.classCount ?? 1) : 1
    let report = try ThermodynamicsReport(
      subject, state.statistics, process: process, axis: try principalAxis(of: data, upTo: count),
      count: data.isEndless ? nil : max(1, data.count / told), isPixels: data.isPixels, cloning: cloning)
    show(report, on: terminal)
    try write(report, seconds, terminal)
    let dissipation = Dissipation(production: report.dissipation, data: data.name)
    if keep { terminal.wrote(try dissipation.write(toModelIn: model.directory).relativePath) }
    if let betas {
      try AtomicFile.write(try dissipation.training(process.schedule).canonicalText, to: URL(filePath: betas))
      terminal.wrote(betas, ": 'ddpm train --config \(betas)' trains with these β")
    }
  }

  /// Of the images that are measured: their errors and their variance belong together.
  private func principalAxis(of data: Dataset, upTo count: Int) throws -> PrincipalAxis {
    let shape = data.shape
    return try PrincipalAxis(dimension: shape.channels * shape.height * shape.width) { visit in
      for i in 0..<count { visit(try data.evaluationImage(i, classes: nil).x0) }
    }
  }

  // MARK: Cloning

  /// Copies trajectories at a dozen levels; goes on where it was stopped.
  private func clone(
    _ model: Model, _ data: Dataset, _ denoiser: NetworkDenoiser, _ subject: EvaluationSubject, _ terminal: Terminal
  ) throws -> (statistics: CloningStatistics, seconds: Double) {
    let plan = try model.plan(.ddpm, steps: cloneSteps ?? min(50, subject.T), spacing: .trailing)
    // A dozen levels at equal distances, the noisiest among them.
    let count = plan.timesteps.count
    let wanted = min(12, count)
    let levels = (0..<wanted).map { plan.timesteps[$0 * count / wanted] }
    let isFree = model.classCount == nil || model.card.nullClass != nil
    let run = CloningRun(
      CloningExperiment(process: plan.process, timesteps: plan.timesteps, seed: seed), denoiser: denoiser,
      shape: .init(1, data.shape.channels, data.shape.height, data.shape.width), batchSize: batchSize,
      condition: { samples in
        guard let classes = model.classCount else { return .none }
        return .classes(samples.map { isFree ? nil : $0 % classes })
      },
      // Who is told the class has no choice.
      classify: isFree
        ? try data.classifier(of: 2000, alphaBar: plan.process.schedule.ᾱ[1]) : nil)

    let file = resume.map { URL(filePath: $0 + ".clones") }
    var identity = try subject.identity(metric: "cloning", weights: model.fingerprint(), data: data)
    identity["steps"] = .integer(count)
    var statistics = CloningStatistics(at: levels)
    if let file, FileManager.default.fileExists(atPath: file.path) {
      statistics = try CloningStatistics(reading: file, expecting: identity, at: levels)
      terminal.print("resumed     \(Text.grouped(statistics.count)) trajectories are cloned")
    }
    guard statistics.count <= clones else {
      throw EvaluationError.tooManyImages(file?.path ?? "", found: statistics.count, wanted: clones)
    }
    let clock = Countdown()
    var saved = statistics.count
    func save(_ statistics: CloningStatistics) throws {
      if let file { try statistics.write(to: file, identity: identity) }
      saved = statistics.count
    }
    do {
      try run(&statistics, upTo: clones) { done, total, statistics in
        terminal.live(
          "trajectory \(statistics.count)/\(clones)  prediction \(done)/\(total)  "
            + "\(Text.duration(clock.left(after: done, of: total))) left",
          log: "cloning: \(Text.duration(clock.left(after: done, of: total))) left")
        if statistics.count > saved { try save(statistics) }
        if let signal = StopSignals.pending, done < total { throw Stopped(signal: signal) }
      }
      terminal.end()
      try save(statistics)
    } catch let stop as Stopped {
      terminal.end()
      throw stopped(stop, after: "\(statistics.count) of \(clones) trajectories")
    }
    return (statistics, clock.elapsed)
  }

  // MARK: Tables

  private func show(_ report: ThermodynamicsReport, on terminal: Terminal) {
    let widths = [6, 10, 13, 10, 13, 12, 12]
    terminal.print("")
    terminal.print(row(["t", "ln SNR", "I(x0; x_t)", "± error", "H(x_t)", "KL(q_t|pi)", "-dKL/dtau"], widths))
    for t in Self.selection(of: report.rows.map(\.t)) {
      let at = report.rows[t.number - 1]
      terminal.print(
        row(
          [
            "\(t)", number(at.logSNR, 3), number(at.information.estimate.value, 3),
            number(at.information.estimate.error, 3), number(at.entropy.value, 2), number(at.divergence.value, 3),
            number(at.productionRate.value, 3),
          ], widths))
    }
    terminal.print("in nats of the whole x_t, \(Text.grouped(report.axis.mean.count)) dimensions")
    terminal.print("")
    let Λ = Text.short(report.axis.eigenvalue)
    terminal.print(
      "speciation  "
        + (report.speciation.map { "t = \(Text.fixed($0, 1)): below it the largest variance, \(Λ), exceeds the noise" }
          ?? "at no t: the largest variance is \(Λ)"))
    if let N = report.count.map(Text.grouped) {
      terminal.print(
        "collapse    "
          + (report.collapse.map {
            "t = \(Text.fixed($0, 1)): above it x_t cannot tell which of \(N) images it came from"
          }
            ?? "at no t does x_t hold just what tells \(N) images apart"))
    }
    if let cloning = report.cloning { show(cloning, report, on: terminal) }
    show(report.spacings, on: terminal)
  }

  private func show(_ cloning: CloningStatistics, _ report: ThermodynamicsReport, on terminal: Terminal) {
    terminal.print("")
    let widths = [6, 12, 10, 16] + (cloning.agreement == nil ? [] : [12, 10])
    terminal.print(
      row(
        ["t", "likeness", "± error", "by the errors"] + (cloning.agreement == nil ? [] : ["one class", "± error"]),
        widths))
    let likeness = cloning.likeness(totalVariance: report.axis.totalVariance)
    for (i, t) in cloning.levels.enumerated().reversed() {
      terminal.print(
        row(
          [
            "\(t)", number(likeness[i].value, 3), number(likeness[i].error, 3),
            number(report.expectedLikeness(at: t), 3),
          ] + (cloning.agreement.map { [number($0[i].value, 3), number($0[i].error, 3)] } ?? []), widths))
    }
    terminal.print("two copies of one x_t, \(Text.grouped(cloning.count)) trajectories")
  }

  private func show(_ spacings: SpacingComparison, on terminal: Terminal) {
    guard let names = spacings.choices.last?.map(\.spacing) else { return }
    terminal.print("")
    let widths = [6] + names.map { max(11, $0.count + 2) }
    terminal.print(row(["steps"] + names, widths))
    for choices in spacings.choices {
      let cells = names.map { name in choices.first { $0.spacing == name }.map { number($0.bits, 4) } ?? "-" }
      terminal.print(row(["\(choices.last?.levels.count ?? 0)"] + cells, widths))
    }
    terminal.print("the bound in so many steps, bits a dimension")
  }
}
