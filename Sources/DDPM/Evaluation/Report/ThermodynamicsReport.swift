import Diffusion
import Files
import Pictures
import Platform

/// The forward process as physics, measured by a model's errors: the results of `ddpm evaluate --metric thermodynamics`.
///
/// A network's errors are at least the best ones, so information and entropy are from above, KL and Fisher information from below. What a
/// network is told (a class) is known beforehand: everything is then given that.
public struct ThermodynamicsReport: EvaluationReport, Sendable {
  public let subject: EvaluationSubject
  public let statistics: BoundStatistics
  /// The direction of the data's largest variance.
  public let axis: PrincipalAxis
  /// How many points the data has, of one class where that is told; nil of endless data, which nobody memorises.
  public let count: Int?
  /// At t = 1…T (index t − 1).
  public let rows: [Thermodynamics.Row]
  /// The t below which, going back, the signal along ``axis`` exceeds the noise: classes part. nil outside 1…T.
  public let speciation: Double?
  /// The t above which x_t cannot say which of the ``count`` points it came from: ln N nats are not there yet. nil where they never are.
  public let collapse: Double?

  /// - Parameters:
  ///   - axis: of the same data; its mean and variance give E‖x_0‖².
  ///   - count: of the points that a model could have memorised.
  public init(
    _ subject: EvaluationSubject, _ statistics: BoundStatistics, schedule: NoiseSchedule, axis: PrincipalAxis,
    count: Int?
  ) {
    (self.subject, self.statistics, self.axis, self.count) = (subject, statistics, axis, count)
    let D = axis.mean.count
    let thermodynamics = Thermodynamics(
      schedule, dimension: D, secondMoment: axis.totalVariance + axis.mean.reduce(0) { $0 + $1 * $1 })
    rows = thermodynamics.table(statistics.epsilonErrors(dimension: D))
    speciation = schedule.timestep(whereSNR: Regimes.speciation(topEigenvalue: axis.eigenvalue))
    // I(x_0; x_t) = ln N
    let known = rows.map(\.information.estimate.value)
    collapse = count.flatMap { N in schedule.crossing(of: known, level: log(Double(N))) }
  }

  private var dimension: Double { Double(axis.mean.count) }

  /// All quantities in nats of the whole x_t, over `t`; each `_standard_error` beside them.
  public var json: JSONValue {
    var object = subject.json
    object["metric"] = "thermodynamics"
    object["images"] = .integer(statistics.images.count)
    object["dimension"] = .integer(axis.mean.count)
    object["top_eigenvalue"] = .finite(axis.eigenvalue)
    object["total_variance"] = .finite(axis.totalVariance)
    object["data_count"] = count.map(JSONValue.integer) ?? .null
    object["speciation"] = speciation.map(JSONValue.finite) ?? .null
    object["collapse"] = collapse.map(JSONValue.finite) ?? .null
    var table: [String: JSONValue] = [
      "t": .array(rows.map { .integer($0.t.number) }), "log_snr": .array(rows.map { .finite($0.logSNR) }),
      "information_lower": .array(rows.map { .finite($0.information.lower.value) }),
      "information_upper": .array(rows.map { .finite($0.information.upper.value) }),
      "production": .array(rows.map { $0.production.map(JSONValue.finite) ?? .null }),
    ]
    for (key, value) in Self.columns {
      table[key] = .array(rows.map { .finite(value($0).value) })
      table[key + "_standard_error"] = .array(rows.map { .finite(value($0).error) })
    }
    object["per_timestep"] = .object(table)
    return .object(object)
  }

  private static var columns: [(String, (Thermodynamics.Row) -> Measured)] {
    [
      ("epsilon_error", \.epsilonError), ("information", \.information.estimate), ("entropy", \.entropy),
      ("free_energy", \.freeEnergy), ("divergence", \.divergence), ("fisher_information", \.fisherInformation),
      ("production_rate", \.productionRate),
    ]
  }

  /// Entropy, and what is left of order, over t; how fast order goes, over the log signal-to-noise ratio.
  public var plot: PlotRow {
    let t = rows.map { Double($0.t.number) }
    func series(_ name: String, x: [Double], _ rows: [Thermodynamics.Row], _ value: (Thermodynamics.Row) -> Measured)
      -> Plot.Series
    {
      let halves = rows.map { 1.96 * value($0).error / dimension }
      return .init(
        name, x: x, y: rows.map { value($0).value / dimension }, spread: halves.allSatisfy(\.isFinite) ? halves : [])
    }
    let finite = rows.filter(\.logSNR.isFinite)
    let logSNR = finite.map(\.logSNR)
    return PlotRow([
      Plot(
        title: "Entropy", x: "timestep t", y: "H(x_t), nats a dimension",
        series: [series("H(x_t)", x: t, rows, \.entropy)]),
      Plot(
        title: "Information and distance from equilibrium", x: "timestep t", y: "nats a dimension",
        series: [
          series("I(x_0; x_t)", x: t, rows, \.information.estimate),
          series("KL(q_t ‖ N(0, I))", x: t, rows, \.divergence),
        ]),
      Plot(
        title: "How fast it is lost", x: "ln ᾱ/(1 − ᾱ)", y: "nats a dimension", yScale: .logarithmic,
        series: [
          series("−dKL/dτ", x: logSNR, finite, \.productionRate),
          series("dI/d ln SNR", x: logSNR, finite) { Measured($0.εError.value / 2, error: $0.εError.error / 2) },
        ]),
    ])
  }
}

extension BoundStatistics {
  /// E‖ε − ε̂‖² at t = 1…T; at a t that was not visited twice, which is what an error needs, from its neighbours, linear in t.
  func epsilonErrors(dimension: Int) -> [Measured] {
    let D = Double(dimension)
    let twice = visited.filter { self[$0].εError.count > 1 }
    let visited = twice.isEmpty ? visited : twice
    precondition(!visited.isEmpty, "errors of no images")
    var next = 0
    return timesteps.indices.map { i in
      while next < visited.count - 1, visited[next].zeroBased < i { next += 1 }
      let (above, below) = (visited[next], visited[max(0, visited[next].zeroBased > i ? next - 1 : next)])
      let (a, b) = (self[above].εError, self[below].εError)
      let span = above.zeroBased - below.zeroBased
      let w = span == 0 ? 0 : Double(above.zeroBased - i) / Double(span)
      return Measured(
        D * ((1 - w) * a.mean + w * b.mean), error: D * ((1 - w) * a.standardError + w * b.standardError))
    }
  }
}
