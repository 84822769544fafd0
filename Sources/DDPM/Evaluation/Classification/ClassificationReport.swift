import Diffusion
import Files
import Pictures

/// The results of `ddpm evaluate --metric classification`.
public struct ClassificationReport: EvaluationReport, Sendable {
  /// The model, the data, and how they were measured.
  public let subject: EvaluationSubject
  /// What each image was taken for.
  public let statistics: ClassificationStatistics
  /// The classes' names, by number.
  public let names: [String]
  /// What classes were measured by.
  public let score: ClassificationScore
  /// Whether the worst classes left early.
  public let eliminates: Bool

  /// - Parameter names: one for each class that there was to choose from.
  public init(
    _ subject: EvaluationSubject, _ statistics: ClassificationStatistics, names: [String],
    score: ClassificationScore, eliminates: Bool
  ) {
    self.subject = subject
    self.statistics = statistics
    self.names = names
    self.score = score
    self.eliminates = eliminates
  }

  /// `accuracy` with `accuracy_confidence_95`, `confusion` (rows are the true classes), `classes`, `predictions`, `per_image`.
  public var json: JSONValue {
    var object = subject.json
    let interval = statistics.confidence95
    object["metric"] = "classification"
    object["score"] = .string(score.rawValue)
    object["eliminates"] = .bool(eliminates)
    object["images"] = .integer(statistics.images.count)
    object["accuracy"] = .finite(statistics.accuracy)
    object["accuracy_confidence_95"] = [.number(interval.lowerBound), .number(interval.upperBound)]
    object["classes"] = .array(names.map { .string($0) })
    object["confusion"] = .array(
      statistics.confusion(classes: names.count).map { .array($0.map { .integer($0) }) })
    object["predictions"] = .integer(statistics.images.reduce(0) { $0 + $1.predictions })
    object["per_image"] = .object([
      "true": .array(statistics.images.map { .integer($0.truth) }),
      "predicted": .array(statistics.images.map { .integer($0.best) }),
    ])
    return .object(object)
  }

  /// The confusion matrix: of each true class, the share that was taken for each.
  public var plot: PlotRow {
    let counts = statistics.confusion(classes: names.count)
    let n = names.count
    let edges = -0.5...Double(n) - 0.5
    var plot = Plot(
      title: "Taken for", x: "class by the bound", y: "true class", width: 640, height: 600)
    plot.heatMap = .init("share", x: edges, y: edges, columns: n, rows: n, range: 0...1) { x, y in
      let row = counts[Int(y.rounded())]
      let all = row.reduce(0, +)
      return all == 0 ? .nan : Double(row[Int(x.rounded())]) / Double(all)
    }
    (plot.xRange, plot.yRange) = (edges, edges)
    return PlotRow([plot])
  }
}

/// The results of `ddpm evaluate --metric likelihood --class-given both`: the bound under the class, under none, and what lies between.
public struct ConditionalLikelihoodReport: EvaluationReport, Sendable {
  /// Under each image's own class.
  public let given: LikelihoodReport
  /// Under none, of the same images, t and ε.
  public let without: LikelihoodReport

  /// - Parameter without: of the same images, t and ε.
  public init(given: LikelihoodReport, without: LikelihoodReport) {
    precondition(
      given.statistics.images.count == without.statistics.images.count,
      "\(given.statistics.images.count) and \(without.statistics.images.count) images")
    self.given = given
    self.without = without
  }

  /// L(∅) − L(c) of each image, bits a dimension: what the class tells of it. L_T and most of the chance cancel.
  public var gaps: [Double] {
    zip(given.statistics.images, without.statistics.images).map { $1.total - $0.total }
  }

  /// As of the likelihood under the class; `no_class` holds the same keys under none, and `gap_bits_per_dim` what lies between.
  public var json: JSONValue {
    var object = given.json.object ?? [:]
    object["no_class"] = without.json
    let gap = Moments(gaps)
    object["gap_bits_per_dim"] = .finite(gap.mean)
    object["gap_bits_per_dim_standard_error"] = .finite(gap.standardError)
    object["gap_bits_per_dim_confidence_95"] =
      gap.confidence95.isFinite
      ? [.number(gap.mean - gap.confidence95), .number(gap.mean + gap.confidence95)] : .null
    object["per_image_gap"] = .array(gaps.map { .finite($0) })
    return .object(object)
  }

  /// At which t the class helps.
  public var plot: PlotRow {
    let visited = given.statistics.visited.filter { without.statistics[$0].bits.count > 0 }
    let t = visited.map { Double($0.number) }
    let (own, none) = (visited.map { given.statistics[$0].bits.mean }, visited.map { without.statistics[$0].bits.mean })
    let style: Plot.Style = given.subject.timesteps < given.subject.T ? .points : .line
    return PlotRow([
      Plot(
        title: "Terms of the bound", x: "timestep t", y: "L(t−1) (bits/dim); at t = 1 L(0)", yScale: .logarithmic,
        series: [
          .init("under the class", x: t, y: own, style: style), .init("under none", x: t, y: none, style: style),
        ]),
      Plot(
        title: "What the class tells", x: "timestep t", y: "difference (bits/dim)",
        series: [.init("", x: t, y: zip(none, own).map { $0 - $1 }, style: style)]),
    ])
  }
}

extension EvaluationImage {
  /// The same image, of which no class is told.
  public var withoutClass: EvaluationImage { EvaluationImage(x0: x0, given: condition.withoutClasses) }
}
