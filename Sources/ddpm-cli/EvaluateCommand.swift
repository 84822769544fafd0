import ArgumentParser
import DDPM
import Datasets
import Diffusion
import Files
import Networks
import Pictures
import Ranks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `ddpm evaluate`: how good a model is, in bits.
struct EvaluateCommand: ParsableCommand, BoundMeasuring, RankedCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Measure a model on data: likelihood, rate and distortion, or classification.",
    discussion: """
      likelihood is the variational bound on the negative log likelihood of 8-bit pixels (Ho et al. 2020, eq. 5), in bits for \
      each dimension, with its three parts and 95% confidence intervals over images:

        ddpm evaluate runs/mnist --data mnist --limit 64
        ddpm evaluate runs/mnist --data mnist --timesteps 50 --json bound.json --plot bound.png
        ddpm evaluate runs/cifar10 --data cifar-10-batches-bin --resume bound.state --json bound.json

      The full bound takes T predictions an image. --timesteps K estimates it without bias from K: L_0 always, and one t drawn \
      from each of K - 1 strata of 2...T; what the drawing adds is part of the standard error.

      rate-distortion is progressive coding (section 4.3): the bits sent and the error of the predicted image after each \
      reverse step, as a table and a plot.

      A model with classes is told each image's own; --class-given none tells it none, and both measures both ways with the same \
      noise, and what the class tells: the gap in bits.

        ddpm evaluate runs/mnist --data mnist --limit 64 --timesteps 50 --class-given both

      classification asks which class's bound is least: the diffusion classifier (Li et al. 2023), its accuracy and its \
      confusion matrix. --timesteps is then how often the network is asked about the classes that stay to the end (default: \
      64); unlikely classes leave early.

        ddpm evaluate runs/mnist --data mnist --metric classification --limit 500 --plot confusion.png

      x0-predictions of images are clipped to [-1, 1], as in the paper. Images are taken in order and never mirrored, at the model's \
      size. The noise of image i at t depends on the seed, i and t only, so results do not depend on --batch-size, nor on how \
      many processes share the images of the bound (mpirun, docs/distributed.md).
      """)

  enum Metric: String, CaseIterable, ExpressibleByArgument {
    case likelihood
    case rateDistortion = "rate-distortion"
    case classification
  }

  enum ClassGiven: String, CaseIterable, ExpressibleByArgument {
    case own, none, both
  }

  @Argument(help: "A diffusers pipeline directory.")
  var model: String

  @Option(help: ArgumentHelp("A folder, an archive, an IDX file, or 'glyphs'.", valueName: "path"))
  var data: String
  @Option(help: "likelihood, rate-distortion or classification.")
  var metric = Metric.likelihood
  @Option(help: "train or test.")
  var split = Dataset.Split.test
  @Option(help: ArgumentHelp("Only the first n images.", valueName: "n"))
  var limit: Int?
  @Option(help: "\(ReverseVariance.help)")
  var variance: ReverseVariance?
  @Flag(inversion: .prefixedNo, help: "Clip x0-predictions to [-1, 1].")
  var clip = true
  @Option(
    help: ArgumentHelp("Estimate from so many timesteps an image (default: all T; classification: 64).", valueName: "K")
  )
  var timesteps: Int?
  @Option(help: "What a model with classes is told of an image: its own class, none, or both in turn.")
  var classGiven = ClassGiven.own
  @Option(help: "classification: what a class is measured by: bound, or error (of ε, unweighted).")
  var score = ClassificationScore.bound
  @Flag(inversion: .prefixedNo, help: "classification: unlikely classes leave early.")
  var eliminate = true
  @Option(help: ArgumentHelp("Predictions computed together: speed and memory, never the result.", valueName: "n"))
  var batchSize = 32
  @Option(help: ArgumentHelp("Seed of all noise.", valueName: "n"))
  var seed: UInt64 = 0

  @OptionGroup var files: ReportOptions
  @Option(
    help: ArgumentHelp(
      "Keep the state in this file, every half minute and on Ctrl-C; go on from it where it exists.", valueName: "file")
  )
  var resume: String?
  @OptionGroup(title: "Computation") var backend: BackendOptions
  @OptionGroup(title: "Talk") var talk: TalkOptions

  func run() throws {
    let terminal = talk.terminal()
    try files.check()
    if metric == .rateDistortion, timesteps != nil {
      throw ValidationError("rate-distortion follows each image through all T: leave out --timesteps")
    }
    if metric == .classification, classGiven != .own {
      throw ValidationError("classification asks about every class in turn: leave out --class-given")
    }
    if metric != .likelihood, classGiven == .both {
      throw ValidationError("\(metric.rawValue) is measured one way at a time: choose --class-given own or none")
    }
    guard (1...SamplingError.largestBatch).contains(batchSize) else { throw EvaluationError.batchSize(batchSize) }

    if Launch.ranks.isFirst { Output.removeLeftovers(beside: [files.json, files.plot, resume]) }
    // Numbers must not depend on what a timer said.
    let model = try Model(URL(filePath: model), on: try backend.make(repeatable: true))
    let data = try model.openData(self.data, split: split)
    // Points have no range to be clipped to.
    let process = try model.process(variance: variance, limit: clip && data.isPixels ? .clip() : X0Limit.none)
    let T = process.schedule.T
    let visits = try TimestepVisits(T: T, count: timesteps ?? (metric == .classification ? min(64, T) : nil))
    let classes = try model.classNumbers(of: data)
    if metric == .classification || classGiven != .own, model.classCount == nil { throw SamplingError.noClasses }
    if classGiven != .own, model.card.nullClass == nil { throw SamplingError.noNullClass }
    let count = limit ?? data.count
    guard (1...data.count).contains(count) else { throw EvaluationError.limit(count, available: data.count) }
    let subject = EvaluationSubject(
      model: self.model, data: data.name, split: data.split, variance: process.variance,
      limit: process.limit, seed: seed, timesteps: visits.count, T: T)

    if metric == .classification { return try classify(model, process, visits, data, count, subject, terminal) }
    var state = try readState(subject, model, data, given: classGiven == .none ? .none : .own)
    // Of the same images under none.
    var other = classGiven == .both ? try readState(subject, model, data, given: .none) : nil
    let finished = state.statistics.images.count
    guard finished <= count else {
      throw EvaluationError.tooManyImages(resume ?? "", found: finished, wanted: count)
    }
    terminal.print("data        \(data); \(Text.grouped(count)) evaluated, from the first")
    terminal.print(
      "model       \(self.model): T = \(T), variance \(subject.variance.rawValue), "
        + "x0-predictions \(process.limit == .none ? "not clipped" : "clipped to [-1, 1]")")
    if finished > 0 { terminal.print("resumed     \(Text.grouped(finished)) images are done") }

    if Launch.ranks.isShared {
      let identity = try subject.identity(metric: metric.rawValue, weights: model.fingerprint(), data: data)
      try Launch.ranks.agree(
        on: "model, data or state", JSONValue.object(identity).compactText + ", \(finished) images done")
    }

    let pairs = count * visits.count
    var run = try model.boundRun(
      bound(process, of: data), visits: visits, path: metric == .rateDistortion ? .trajectory : .independent,
      seed: seed, batchSize: min(batchSize, pairs),
      size: SampleSize(height: data.shape.height, width: data.shape.width))
    run.ranks = Launch.ranks
    var seconds = try measure(
      run, &state, data, count, classes, isTold: classGiven != .none, in: stateFile(.own), terminal)
    if var none = other {
      terminal.print("and now     under no class, with the same noise")
      seconds += try measure(run, &none, data, count, classes, isTold: false, in: stateFile(.none), terminal)
      other = none
    }

    terminal.print(
      "took        \(Text.duration(seconds)) for \(Text.grouped(count - finished)) images of "
        + "\(visits.count) predictions each")
    terminal.print("")
    switch metric {
    case .likelihood:
      let report = LikelihoodReport(subject, state.statistics)
      show(report, on: terminal)
      guard let other else { return try write(report, seconds, terminal) }
      let both = ConditionalLikelihoodReport(given: report, without: LikelihoodReport(subject, other.statistics))
      show(both, on: terminal)
      try write(both, seconds, terminal)
    case .classification: break
    case .rateDistortion:
      let report = RateDistortionReport(subject, state.statistics)
      show(report, on: terminal)
      try write(report, seconds, terminal)
    }
  }

  /// Where the state is kept; of both ways of `--class-given both` each has its file.
  func stateFile(_ given: ClassGiven) -> URL? {
    resume.map { URL(filePath: classGiven == .both && given == .none ? $0 + ".none" : $0) }
  }

  private func readState(
    _ subject: EvaluationSubject, _ model: Model, _ data: Dataset, given: ClassGiven
  ) throws -> EvaluationState {
    try readState(
      subject, model, data, metric: metric.rawValue + (given == .none ? " under no class" : ""), in: stateFile(given))
  }

  private func show(_ report: LikelihoodReport, on terminal: Terminal) {
    terminal.print(row(["", "bits/dim", "± error", "95% confidence"], [22, 11, 11, 24]))
    for part in report.parts {
      let (mean, half) = (part.moments.mean, part.moments.confidence95)
      // L_T of a good schedule is about 1e-5.
      let digits = abs(mean) < 1e-3 ? 7 : 4
      terminal.print(
        row(
          [
            part.key == "bits_per_dim" ? "total" : part.name, Text.fixed(mean, digits),
            number(part.moments.standardError, digits),
            half.isFinite ? "\(Text.fixed(mean - half, digits)) … \(Text.fixed(mean + half, digits))" : "",
          ], [22, 11, 11, 24]))
    }
    terminal.print("")
    terminal.print(row(["t", "L(t-1) bits/dim", "mse of ε", "mse of x0"], [6, 17, 12, 12]))
    let statistics = report.statistics
    for t in Self.selection(of: statistics.visited) {
      let at = statistics[t]
      terminal.print(
        row(
          ["\(t)", Text.fixed(at.bits.mean, 6), Text.fixed(at.εError.mean, 5), Text.fixed(at.x0Error.mean, 5)],
          [6, 17, 12, 12]))
    }
    terminal.print("")
    let kind =
      report.subject.timesteps < report.subject.T
      ? "estimated from \(report.subject.timesteps) of \(report.subject.T) timesteps an image"
      : "all \(report.subject.T) timesteps"
    terminal.print(
      "\(number(statistics.total.mean, 4)) ± \(number(statistics.total.standardError, 4)) bits/dim over "
        + "\(Text.grouped(statistics.images.count)) images (split \(report.subject.splitName)), \(kind)")
  }

  private func show(_ report: RateDistortionReport, on terminal: Terminal) {
    let widths = [14, 6, 17, 10, 14, 10]
    terminal.print(row(["reverse steps", "t", "rate (bits/dim)", "± error", "RMSE (0-255)", "± error"], widths))
    let points = report.points
    let shown = (0...16).map { $0 * (points.count - 1) / 16 }
    for i in Set(shown).sorted() {
      let point = points[i]
      terminal.print(
        row(
          [
            "\(point.reverseSteps)", "\(point.t)", Text.fixed(point.rate, 4), number(point.rateError, 4),
            Text.fixed(point.rmse, 2), number(point.rmseError, 2),
          ], widths))
    }
    terminal.print("")
    let statistics = report.statistics
    terminal.print(
      "lossless \(number(statistics.total.mean, 4)) bits/dim, of which L_0 is "
        + "\(number(statistics.reconstruction.mean, 4)); \(Text.grouped(statistics.images.count)) images "
        + "(split \(report.subject.splitName))")
  }

  private func show(_ report: ConditionalLikelihoodReport, on terminal: Terminal) {
    let (none, gap) = (report.without.statistics.total, Moments(report.gaps))
    terminal.print("\(number(none.mean, 4)) ± \(number(none.standardError, 4)) bits/dim under no class")
    terminal.print(
      "\(number(gap.mean, 5)) ± \(number(gap.standardError, 5)) bits/dim is what the class tells of an image")
  }
}

extension ClassificationScore: ExpressibleByArgument {}
extension Dataset.Split: ExpressibleByArgument {}
