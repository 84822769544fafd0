import ArgumentParser
import DDPM
import Datasets
import Diffusion
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A command that measures the terms of the bound on data, goes on where it was stopped, and writes a report.
protocol BoundMeasuring {
  /// Predictions computed together.
  var batchSize: Int { get }
  /// Where numbers and curves go.
  var files: ReportOptions { get }
  /// Where the state goes; nil for nowhere.
  var resume: String? { get }
}

extension BoundMeasuring {
  /// The bound on data of this kind.
  func bound(_ process: ReverseProcess, of data: Dataset) -> VariationalBound {
    VariationalBound(process, decoder: data.isPixels ? .discretized : .density)
  }

  /// - Parameters:
  ///   - metric: what is measured, in one word, where a state of something else must not be gone on with.
  ///   - file: of the state; nil for a new one.
  func readState(
    _ subject: EvaluationSubject, _ model: Model, _ data: Dataset, metric: String, in file: URL?
  ) throws -> EvaluationState {
    let empty = BoundStatistics(T: subject.T)
    guard let file else { return EvaluationState(identity: [:], statistics: empty) }
    let identity = try subject.identity(metric: metric, weights: model.fingerprint(), data: data)
    guard FileManager.default.fileExists(atPath: file.path) else {
      return EvaluationState(identity: identity, statistics: empty)
    }
    return try EvaluationState(reading: file, expecting: identity, T: subject.T)
  }

  /// Measures the images that are left.
  ///
  /// - Parameter isTold: whether the model is told the classes.
  /// - Returns: the seconds that it took.
  func measure(
    _ run: BoundRun<NetworkDenoiser>, _ state: inout EvaluationState, _ data: Dataset, _ count: Int, _ classes: [Int]?,
    isTold: Bool, in file: URL?, _ terminal: Terminal
  ) throws -> Double {
    StopSignals.watch()
    let clock = Countdown()
    var lastSaved = 0.0
    var isEstimated = false
    let identity = state.identity
    func save(_ statistics: BoundStatistics) throws {
      if let file, Launch.ranks.isFirst {
        try EvaluationState(identity: identity, statistics: statistics).write(to: file)
      }
    }

    do {
      func image(_ i: Int) throws -> EvaluationImage {
        let image = try data.evaluationImage(i, classes: classes)
        return isTold ? image : image.withoutClass
      }
      try run(&state.statistics, upTo: count, image: image) { done, total, statistics in
        let now = clock.elapsed
        let left = clock.left(after: done, of: total)
        if !isEstimated, done < total {
          terminal.print(
            "estimate    \(Text.duration(left)): \(Text.grouped(total)) predictions, "
              + "\(Text.short(Double(done) / now)) a second in the first batch")
          isEstimated = true
        }
        terminal.live(
          "image \(statistics.images.count)/\(count)  prediction \(done)/\(total)  \(Text.duration(left)) left  "
            + Text.mebibytes(residentBytes()),
          fields: [
            "images": .integer(statistics.images.count), "of": .integer(count), "predictions": .integer(done),
            "of_predictions": .integer(total), "seconds_left": .number(left),
          ])
        if now - lastSaved > 30 {
          try save(statistics)
          lastSaved = now
        }
        if let signal = try Launch.agreed(StopSignals.pending), done < total { throw Stopped(signal: signal) }
      }
      terminal.end()
      try save(state.statistics)
    } catch let stop as Stopped {
      terminal.end()
      try save(state.statistics)
      throw stopped(stop, after: "\(state.statistics.images.count) of \(count) images")
    }
    return clock.elapsed
  }

  /// Says what is kept of a measurement that a signal stopped.
  func stopped(_ stop: Stopped, after done: String) -> ExitCode {
    Terminal.complain(
      "stopped after \(done); "
        + (resume.map { "saved in \($0): the same command goes on from there" }
          ?? "nothing is saved: --resume FILE would keep them"))
    return ExitCode(128 + stop.signal)
  }

  /// 1, 2, 5, 10, … and the last, each by the visited t nearest to it.
  static func selection(of visited: [Timestep]) -> [Timestep] {
    var wanted = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]
    wanted = wanted.filter { $0 < visited.last?.number ?? 0 } + [visited.last?.number ?? 0]
    let chosen = wanted.compactMap { w in visited.min { abs($0.number - w) < abs($1.number - w) } }
    return Set(chosen).sorted()
  }

  func write(_ report: some EvaluationReport, _ seconds: Double, _ terminal: Terminal) throws {
    guard Launch.ranks.isFirst else { return }
    terminal.tell("finished", report.object(seconds: seconds, batchSize: batchSize))
    if let json = files.json {
      try report.writeJSON(to: URL(filePath: json), seconds: seconds, batchSize: batchSize)
      terminal.wrote(json)
    }
    if let plot = files.plot {
      try report.plot.write(to: URL(filePath: plot))
      terminal.wrote(plot)
    }
  }

  func number(_ value: Double, _ digits: Int) -> String {
    value.isFinite ? Text.fixed(value, digits) : "-"
  }

  func row(_ cells: [String], _ widths: [Int]) -> String {
    zip(cells, widths).enumerated().map { i, cell in
      // Names at the left, numbers at the right.
      i == 0 && cell.1 > 15 ? Text.flushLeft(cell.0, cell.1) : Text.flushRight(cell.0, cell.1)
    }.joined()
  }
}

/// A signal came.
struct Stopped: Error { let signal: Int32 }
