import Platform

/// The best denoiser there is for known data: it says what any network learns at most, E[x_0 | x_t], in the terms of `prediction`.
public struct ExactDenoiser<Data: KnownData>: Denoiser {
  /// What is known.
  public let data: Data
  /// Which ᾱ each t has.
  public let schedule: NoiseSchedule
  /// What the prediction says: ε, x_0, v or μ̃.
  public let prediction: Prediction
  /// Whether the channels are doubled by ln σ² of the best isotropic p(x_{t−1} | x_t), as `ReverseVariance.learned` reads them.
  public let predictsVariance: Bool

  /// - Parameter predictsVariance: doubles the channels, as `ReverseVariance.learned` reads them.
  public init(
    _ data: Data, schedule: NoiseSchedule, prediction: Prediction = .epsilon, predictsVariance: Bool = false
  ) {
    self.data = data
    self.schedule = schedule
    self.prediction = prediction
    self.predictsVariance = predictsVariance
  }

  /// - Throws: ``ExactDenoiserError`` where the condition asks for what the data does not have.
  public func predict(
    _ xt: Images, at t: [Timestep], given condition: Condition
  ) throws(ExactDenoiserError) -> Images {
    let (d, count) = (xt.shape.dimension, xt.shape.count)
    precondition(d == data.dimension, "x_t of shape \(xt.shape) for data of ℝ^\(data.dimension)")
    precondition(t.count == count, "\(t.count) timesteps for a batch of \(xt.shape)")
    if condition.pictures != nil { throw .pictures }
    let classes = condition.classes ?? Array(repeating: nil, count: count)
    for case let label? in classes where !(data.classCounts.indices.contains(label) && data.classCounts[label] > 0) {
      throw .unknownClass(label, known: data.classCounts.count)
    }
    var shape = xt.shape
    if predictsVariance { shape.channels *= 2 }
    var scalars = [Float](repeating: 0, count: shape.scalarCount)
    for (t, members) in Dictionary(grouping: 0..<count, by: { t[$0] }) {
      let x = members.flatMap { n in xt.scalars[xt.range(ofSample: n)].map(Double.init) }
      let posteriors = data.posteriors(of: x, alphaBar: schedule.ᾱ[t], classes: members.map { classes[$0] })
      for (place, known) in posteriors.enumerated() {
        let output = output(known, xt: x[place * d..<(place + 1) * d], at: t)
        let start = members[place] * shape.dimension
        for (i, value) in output.enumerated() { scalars[start + i] = Float(value) }
      }
    }
    return Images(shape: shape, scalars: scalars)
  }

  private func output(_ known: ExactPosterior, xt: ArraySlice<Double>, at t: Timestep) -> [Double] {
    let (level, posterior) = (schedule.level(t), schedule.posterior(t))
    let output = zip(known.mean, xt).map { x0, xt in
      prediction.target(x0: x0, epsilon: level.epsilon(x0: x0, xt: xt), xt: xt, level: level, posterior: posterior)
    }
    guard predictsVariance else { return output }
    // Var(x_{t−1} | x_t) = β̃ + c² Var(x_0 | x_t), c the coefficient of x_0 in μ̃
    let c = posterior.x0Coefficient
    let σ² = schedule.posteriorVariance(t) + c * c * known.variance / Double(known.mean.count)
    return output + Array(repeating: log(σ²), count: output.count)
  }
}

/// The denoiser of a network that has memorised a finite set of points.
public typealias EmpiricalDenoiser = ExactDenoiser<EmpiricalData>

/// Why known data cannot say what is asked.
public enum ExactDenoiserError: Error, Equatable, CustomStringConvertible {
  case unknownClass(Int, known: Int)
  case pictures

  public var description: String {
    switch self {
    case .unknownClass(let label, let known):
      known == 0
        ? "class \(label) of data without classes: ask for none"
        : "class \(label) of data whose classes are 0 to \(known - 1): ask for one that it has, or for none"
    case .pictures: "exact data is not shown pictures: ask without one"
    }
  }
}
