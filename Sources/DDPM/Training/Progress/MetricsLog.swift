import Diffusion
import Files

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What is logged every so many steps: means over the steps since the last time.
public struct Metrics: Sendable, Equatable {
  /// Steps done, from the start of the run.
  public var step: Int
  /// What is minimised.
  public var loss: Double
  /// Means over the samples whose t lies in each quarter of 1…T; nil where there was none.
  public var lossByQuartile: [Double?]
  /// ‖g‖ over all parameters, before it is limited.
  public var gradientNorm: Double
  /// At the last of these steps.
  public var learningRate: Double
  /// d at the last of these steps.
  public var emaDecay: Double
  /// A running mean, the newest steps weighing most.
  public var imagesPerSecond: Double
  /// Since the start of this process's part of the run.
  public var seconds: Double
  /// Seconds of a step in which this process exchanged with others or waited for them; nil where it is alone.
  public var communication: Double? = nil

  /// A line of `metrics.jsonl`.
  public var json: JSONValue {
    var members: [String: JSONValue] = [
      "step": .integer(step),
      "loss": .number(loss),
      "loss_by_t_quartile": .array(lossByQuartile.map { $0.map { .number($0) } ?? .null }),
      "gradient_norm": .number(gradientNorm),
      "learning_rate": .number(learningRate),
      "ema_decay": .number(emaDecay),
      "images_per_second": .number(imagesPerSecond),
      "seconds": .number(seconds),
    ]
    if let communication { members["communication_seconds"] = .number(communication) }
    return .object(members)
  }
}

/// `metrics.jsonl`: one JSON object a line.
public final class MetricsLog {
  private let file: AppendingFile

  /// Opens the log to go on after `step`; lines beyond it, left by a run that died after its last checkpoint, are dropped.
  ///
  /// - Throws: `FileError`.
  public init(_ url: URL, after step: Int) throws {
    if FileManager.default.fileExists(atPath: url.path) {
      let kept = try Self.lines(of: url).filter { $0.step <= step }
      try AtomicFile.write(kept.map { $0.text + "\n" }.joined(), to: url)
    }
    file = try AppendingFile(url)
  }

  /// Adds a line. It is sure to be on the disk with the next checkpoint.
  public func append(_ metrics: Metrics) throws { try file.append(metrics.json.compactText + "\n") }

  func synchronise() { file.synchronise() }

  /// (step, loss) of every line: the curve to plot.
  public static func losses(_ url: URL) throws -> [(step: Int, loss: Double)] {
    try lines(of: url).compactMap { line in line.object["loss"]?.double.map { (line.step, $0) } }
  }

  /// The whole lines of the file; a last one that was cut short is no line.
  private static func lines(of url: URL) throws -> [(text: String, step: Int, object: [String: JSONValue])] {
    let text = String(decoding: try FileBytes.read(url.path, limit: 1 << 32), as: UTF8.self)
    return text.split(separator: "\n").compactMap { line in
      guard let object = try? JSONValue(parsing: String(line)).object, let step = object["step"]?.integer else {
        return nil
      }
      return (String(line), step, object)
    }
  }
}

/// Sums over the steps between two log lines; part of a checkpoint, so that a resumed run logs what it would have logged.
struct MetricsWindow: Codable, Equatable, Sendable {
  private var loss = 0.0
  private var gradientNorm = 0.0
  private var steps = 0
  private var quartileSums = [0.0, 0, 0, 0]
  private var quartileCounts = [0, 0, 0, 0]

  mutating func add(loss: Double, gradientNorm: Double, losses: [Float], t: [Timestep], T: Int) {
    self.loss += loss
    self.gradientNorm += gradientNorm
    steps += 1
    for (loss, t) in zip(losses, t) {
      let quartile = t.zeroBased * 4 / T
      quartileSums[quartile] += Double(loss)
      quartileCounts[quartile] += 1
    }
  }

  var meanLoss: Double { loss / Double(max(1, steps)) }
  var meanGradientNorm: Double { gradientNorm / Double(max(1, steps)) }
  var lossByQuartile: [Double?] {
    zip(quartileSums, quartileCounts).map { sum, count in count > 0 ? sum / Double(count) : nil }
  }

  /// Whether it can be counted on with: four quarters of finite sums.
  var isWhole: Bool {
    quartileSums.count == 4 && quartileCounts.count == 4
      && (quartileSums + [loss, gradientNorm]).allSatisfy(\.isFinite)
      && (quartileCounts + [steps]).allSatisfy { (0...1 << 62).contains($0) }
  }
}
