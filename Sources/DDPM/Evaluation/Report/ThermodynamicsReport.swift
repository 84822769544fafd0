import Diffusion
import Files
import Pictures
import Platform

/// The forward process as physics, measured by a model's errors: the results of `ddpm thermodynamics`.
///
/// A network's errors are at least the best ones, so information and entropy are from above, KL and Fisher information from below. What a
/// network is told (a class) is known beforehand: everything is then given that.
public struct ThermodynamicsReport: EvaluationReport, Sendable {
  /// The model, the data, and how they were measured.
  public let subject: EvaluationSubject
  /// The errors at each t.
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
  /// What each step produces in entropy, at t = 1…T (index t − 1), where errors of measurement would make it negative 0.
  public let dissipation: [Double]
  /// The bound in few steps.
  public let spacings: SpacingComparison
  /// What cloning experiments have shown, where there were any.
  public let cloning: CloningStatistics?

  /// - Parameters:
  ///   - process: of the model that was measured.
  ///   - axis: of the same data; its mean and variance give E‖x_0‖².
  ///   - count: of the points that a model could have memorised.
  ///   - isPixels: whether the data are 8-bit pixels.
  public init(
    _ subject: EvaluationSubject, _ statistics: BoundStatistics, process: ReverseProcess, axis: PrincipalAxis,
    count: Int?, isPixels: Bool, cloning: CloningStatistics? = nil
  ) throws {
    (self.subject, self.statistics, self.axis, self.count) = (subject, statistics, axis, count)
    self.cloning = cloning
    let schedule = process.schedule
    let D = axis.mean.count
    let thermodynamics = Thermodynamics(
      schedule, dimension: D, secondMoment: axis.totalVariance + axis.mean.reduce(0) { $0 + $1 * $1 })
    // Where the images are the same at every t, errors do not add as squares, and those of the sums are measured. Where each image visits
    // some t only, they are bounded by their sum.
    rows = thermodynamics.table(
      statistics.atEachT { Measured(Double(D) * $0.εError.mean, error: Double(D) * $0.εError.standardError) },
      correlation: subject.timesteps == schedule.T ? .known(statistics.informationErrors(dimension: D)) : .unknown)
    dissipation = rows.map { row in
      // At t = 1 the rate, as production there needs H(x_0): τ = −½ ln ᾱ.
      max(0, row.production ?? row.productionRate.value * -0.5 * log(schedule.α[1]))
    }
    spacings = try SpacingComparison(
      process, thermodynamics, x0Errors: statistics.atEachT { Measured($0.x0Error.mean) }.map(\.value),
      reconstruction: statistics.reconstruction.mean * log(2.0), isPixels: isPixels, dissipation: dissipation)
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
    var spacings: [String: JSONValue] = [:]
    for choice in self.spacings.choices.joined() {
      var lists = spacings[choice.spacing]?.object ?? [:]
      lists["\(choice.levels.count)"] = .object([
        "levels": .array(choice.levels.map { .integer($0.number) }), "bits_per_dim": .finite(choice.bits),
      ])
      spacings[choice.spacing] = .object(lists)
    }
    object["spacings"] = .object(spacings)
    if let cloning {
      let likeness = cloning.likeness(totalVariance: axis.totalVariance)
      object["cloning"] = .object([
        "trajectories": .integer(cloning.count), "t": .array(cloning.levels.map { .integer($0.number) }),
        "likeness": .array(likeness.map { .finite($0.value) }),
        "likeness_standard_error": .array(likeness.map { .finite($0.error) }),
        "agreement": cloning.agreement.map { .array($0.map { .finite($0.value) }) } ?? .null,
        "agreement_standard_error": cloning.agreement.map { .array($0.map { .finite($0.error) }) } ?? .null,
      ])
    }
    return .object(object)
  }

  /// What the copies of a perfect sampler would share by the measured errors: two draws of x_0 given x_t differ by twice its variance.
  public func expectedLikeness(at t: Timestep) -> Double {
    // 1 − mmse_x/tr Σ, mmse_x = mmse_ε/γ; the errors of a hundredth of all t together, which few images visit each.
    let half = rows.count / 200
    let near = rows[max(0, t.number - 1 - half)...min(rows.count - 1, t.number - 1 + half)]
    let εError = near.reduce(0) { $0 + $1.εError.value } / Double(near.count)
    // Nothing known leaves the variance itself; a network may do worse.
    return max(0, 1 - εError * exp(-rows[t.number - 1].logSNR) / axis.totalVariance)
  }

  private static var columns: [(String, (Thermodynamics.Row) -> Measured)] {
    [
      ("epsilon_error", \.epsilonError), ("information", \.information.estimate), ("entropy", \.entropy),
      ("free_energy", \.freeEnergy), ("divergence", \.divergence), ("fisher_information", \.fisherInformation),
      ("production_rate", \.productionRate),
    ]
  }

  /// Entropy, what is left of order, how fast it goes, and what copies share: over t, and under that over the log signal-to-noise ratio.
  public var plot: PlotRow {
    let rows = rows.filter(\.logSNR.isFinite)
    let axes: [(label: String, place: (Thermodynamics.Row) -> Double)] = [
      ("timestep t", { Double($0.t.number) }), ("ln ᾱ/(1 − ᾱ)", { $0.logSNR }),
    ]
    let plots = axes.flatMap { axis in panels(rows, x: axis.label, axis.place) }
    return PlotRow(plots, columns: plots.count / 2)
  }

  private func panels(_ rows: [Thermodynamics.Row], x: String, _ place: (Thermodynamics.Row) -> Double) -> [Plot] {
    let t = rows.map(place)
    func series(_ name: String, _ value: (Thermodynamics.Row) -> Measured) -> Plot.Series {
      let halves = rows.map { 1.96 * value($0).error / dimension }
      return .init(
        name, x: t, y: rows.map { value($0).value / dimension }, spread: halves.allSatisfy(\.isFinite) ? halves : [])
    }
    var plots = [
      Plot(title: "Entropy", x: x, y: "H(x_t), nats a dimension", series: [series("H(x_t)", \.entropy)]),
      Plot(
        title: "Information and distance from equilibrium", x: x, y: "nats a dimension",
        series: [series("I(x_0; x_t)", \.information.estimate), series("KL(q_t ‖ N(0, I))", \.divergence)]),
      Plot(
        title: "How fast it is lost", x: x, y: "nats a dimension", yScale: .logarithmic,
        series: [
          series("−dKL/dτ", \.productionRate),
          series("dI/d ln SNR") { Measured($0.εError.value / 2, error: $0.εError.error / 2) },
        ]),
    ]
    if let cloning {
      let levels = cloning.levels.filter { self.rows[$0.number - 1].logSNR.isFinite }
      func copies(_ name: String, _ values: [Measured]) -> Plot.Series {
        let shown = zip(cloning.levels, values).filter { levels.contains($0.0) }
        let spread = shown.map { 1.96 * $0.1.error }
        return .init(
          name, x: shown.map { place(self.rows[$0.0.number - 1]) }, y: shown.map(\.1.value),
          spread: spread.allSatisfy(\.isFinite) ? spread : [], style: .linePoints)
      }
      plots.append(Plot(title: "Two copies of one x_t", x: x, y: "share"))
      plots[3].series = [
        copies("likeness of what they become", cloning.likeness(totalVariance: axis.totalVariance)),
        .init("likeness by the errors", x: t, y: rows.map { expectedLikeness(at: $0.t) }),
      ]
      if let agreement = cloning.agreement { plots[3].series.append(copies("of one class", agreement)) }
      plots[3].yRange = 0...1
    }
    return plots
  }
}

extension BoundStatistics {
  /// A quantity at t = 1…T; at a t that was not visited twice, which is what an error needs, from its neighbours, linear in t.
  func atEachT(_ quantity: (AtTimestep) -> Measured) -> [Measured] {
    let twice = visited.filter { self[$0].εError.count > 1 }
    let visited = twice.isEmpty ? visited : twice
    precondition(!visited.isEmpty, "means over no images")
    var next = 0
    return timesteps.indices.map { i in
      while next < visited.count - 1, visited[next].zeroBased < i { next += 1 }
      let (above, below) = (visited[next], visited[max(0, visited[next].zeroBased > i ? next - 1 : next)])
      let (a, b) = (quantity(self[above]), quantity(self[below]))
      let span = above.zeroBased - below.zeroBased
      let w = span == 0 ? 0 : Double(above.zeroBased - i) / Double(span)
      return Measured((1 - w) * a.value + w * b.value, error: (1 - w) * a.error + w * b.error)
    }
  }

  /// The standard error of I(x_0; x_t) in nats, at t = 1…T: that of the bound's rate(t), which is I + L_T but for the size of its steps,
  /// over images. Each image is a path of its own, so what its errors at different t have in common is counted.
  func informationErrors(dimension: Int) -> [Double] {
    atEachT { at in
      // Noted at the t that an image visits; but the sum is over what all images visit.
      let variance = at.rate.squares / Double(max(1, at.rate.count - 1))
      return Measured(
        at.rate.mean, error: Double(dimension) * log(2.0) * (variance / Double(images.count)).squareRoot())
    }.map(\.error)
  }
}
