import ArgumentParser
import DDPM
import Datasets
import Diffusion
import Files
import Networks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension EvaluateCommand {
  /// `--metric classification`.
  func classify(
    _ model: Model, _ process: ReverseProcess, _ visits: TimestepVisits, _ data: Dataset, _ count: Int,
    _ subject: EvaluationSubject, _ terminal: Terminal
  ) throws {
    guard let classes = model.classCount, let numbers = try model.classNumbers(of: data) else {
      throw SamplingError.noClasses
    }
    let batch = min(batchSize, visits.count * classes)
    let denoiser = try model.denoiser(
      batchSize: batch, size: SampleSize(height: data.shape.height, width: data.shape.width))
    var terms = BoundRun(
      bound(process, of: data), denoiser: denoiser, visits: visits, seed: seed, batchSize: batch)
    terms.ranks = Launch.ranks
    let run = ClassificationRun(terms, classes: classes, eliminates: eliminate, score: score)
    let file = stateFile(.own)
    var identity = try subject.identity(metric: metric.rawValue, weights: model.fingerprint(), data: data)
    identity["score"] = .string(score.rawValue)
    identity["eliminates"] = .bool(eliminate)
    var statistics = ClassificationStatistics()
    if let file, FileManager.default.fileExists(atPath: file.path) {
      statistics = try ClassificationStatistics(reading: file, expecting: identity, classes: classes)
    }
    let finished = statistics.images.count
    guard finished <= count else {
      throw EvaluationError.tooManyImages(resume ?? "", found: finished, wanted: count)
    }
    try Launch.ranks.agree(
      on: "model, data or state", JSONValue.object(identity).compactText + ", \(finished) images done")
    terminal.print("data        \(data); \(Text.grouped(count)) evaluated, from the first")
    terminal.print(
      "asks        \(Text.grouped(run.classifier.predictions(classes: classes))) predictions an image, of \(classes) classes"
    )
    if finished > 0 { terminal.print("resumed     \(Text.grouped(finished)) images are done") }

    StopSignals.watch()
    let clock = Countdown()
    var lastSaved = 0.0
    func save(_ statistics: ClassificationStatistics) throws {
      if let file, Launch.ranks.isFirst { try statistics.write(to: file, identity: identity) }
    }
    try run(&statistics, upTo: count, image: { try data.evaluationImage($0, classes: numbers) }) { statistics in
      let done = statistics.images.count
      let left = clock.left(after: done - finished, of: count - finished)
      let line = "image \(done)/\(count)  \(percent(statistics.accuracy)) right  \(Text.duration(left)) left"
      terminal.live(line, log: line)
      if clock.elapsed - lastSaved > 30 {
        try save(statistics)
        lastSaved = clock.elapsed
      }
      if let signal = try Launch.agreed(StopSignals.pending), done < count {
        terminal.end()
        try save(statistics)
        Terminal.complain(
          "stopped after \(done) of \(count) images; "
            + (resume.map { "saved in \($0): the same command goes on from there" }
              ?? "nothing is saved: --resume FILE would keep them"))
        throw ExitCode(128 + signal)
      }
    }
    terminal.end()
    try save(statistics)

    let names = model.card.classNames.isEmpty ? (0..<classes).map(String.init) : model.card.classNames
    let report = ClassificationReport(subject, statistics, names: names, score: score, eliminates: eliminate)
    show(report, on: terminal)
    try write(report, clock.elapsed, terminal)
  }

  private func show(_ report: ClassificationReport, on terminal: Terminal) {
    let counts = report.statistics.confusion(classes: report.names.count)
    if report.names.count <= 16 {
      let widths = [12] + report.names.map { max(6, $0.count + 2) }
      terminal.print(row(["true / taken"] + report.names, widths))
      for (name, line) in zip(report.names, counts) { terminal.print(row([name] + line.map(String.init), widths)) }
    } else {
      let mistaken = counts.indices.flatMap { i in
        counts[i].indices.filter { $0 != i && counts[i][$0] > 0 }.map { (i, $0, counts[i][$0]) }
      }
      for (i, j, count) in mistaken.sorted(by: { $0.2 > $1.2 }).prefix(10) {
        terminal.print("\(count) × \(report.names[i]) taken for \(report.names[j])")
      }
    }
    let (statistics, interval) = (report.statistics, report.statistics.confidence95)
    terminal.print("")
    terminal.print(
      "\(percent(statistics.accuracy)) of \(Text.grouped(statistics.images.count)) images are right "
        + "(95%: \(percent(interval.lowerBound)) … \(percent(interval.upperBound))), split \(report.subject.splitName)")
  }

  private func percent(_ share: Double) -> String { Text.fixed(100 * share, 1) + "%" }
}
