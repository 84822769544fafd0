import Platform
import TensorGraph

/// The equations of a training step as pieces of a differentiable graph, each sample at its own t.
///
/// The schedule's tables are constants of the graph, rounded from Double once; each sample gathers its row.
public struct ProcessGraph {
  /// Schedule, prediction and variance of the step.
  public let process: ReverseProcess
  /// (N) int32: timesteps 1…T. The network counts from 0: give it `zeroBased`.
  public let t: Tensor

  /// - Parameter t: (N) int32, timesteps 1…T.
  public init(_ process: ReverseProcess, t: Tensor) {
    self.process = process
    self.t = t
  }

  /// (N): t − 1, as the network counts.
  public var zeroBased: Tensor { t.toFloat() - 1 }

  /// √ᾱ_t and √(1−ᾱ_t) of each sample.
  public var level: NoiseLevel<Tensor> {
    let schedule = process.schedule
    return NoiseLevel(
      sqrtAlphaBar: coefficient { schedule.sqrtᾱ[$0] },
      sqrtOneMinusAlphaBar: coefficient { schedule.sqrtOneMinusᾱ[$0] })
  }

  /// The coefficients of μ̃ of each sample.
  public var posterior: Posterior<Tensor> {
    let schedule = process.schedule
    return Posterior(
      x0Coefficient: coefficient { schedule.posterior($0).x0Coefficient },
      xtCoefficient: coefficient { schedule.posterior($0).xtCoefficient })
  }

  /// [N, 1, 1, 1]: a quantity of the schedule at each sample's t.
  public func coefficient(_ value: (Timestep) -> Double) -> Tensor {
    // Row 0, the data, is never asked for.
    let rows = [0] + process.schedule.timesteps.map { Float(value($0)) }
    return t.builder.constant(rows, shape: [rows.count, 1, 1, 1]).gatherRows(t)
  }

  /// x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, all [N, C, H, W].
  public func noised(_ x0: Tensor, epsilon ε: Tensor) -> Tensor { level.xt(x0: x0, epsilon: ε) }

  /// What the network should say of x_t.
  public func target(x0: Tensor, epsilon ε: Tensor, xt: Tensor) -> Tensor {
    process.prediction.target(x0: x0, epsilon: ε, xt: xt, level: level, posterior: posterior)
  }

  /// The objective of each sample, (N), a mean over dimensions. The loss is its mean over samples.
  ///
  /// - Parameters:
  ///   - x0: [N, C, H, W] in [−1, 1]; for `.hybrid` on the 256 values of 8-bit pixels.
  ///   - ε: the noise in x_t.
  ///   - output: what the network said of x_t: [N, C, H, W], or [N, 2C, H, W] where the variance is learned.
  public func losses(_ objective: Objective, x0: Tensor, epsilon ε: Tensor, output: Tensor) -> Tensor {
    let xt = noised(x0, epsilon: ε)
    let halves = process.variance.isLearned ? output.split(axis: 1, parts: 2) : [output]
    let squares = (target(x0: x0, epsilon: ε, xt: xt) - halves[0]).squared()
    switch objective {
    case .squaredError(.simple):
      // L_simple = (target − output)²
      return squares.mean([1, 2, 3])
    case .squaredError(let weight):
      // weight · (target − output)²
      return (coefficient { process.weight(weight, at: $0) } * squares).mean([1, 2, 3])
    case .hybrid(let λ):
      precondition(process.variance.isLearned, "the hybrid objective needs a learned variance")
      // x̂_0 is not limited: training does not.
      let x̂0 = process.prediction.x0(halves[0].detached(), xt: xt, level: level, posterior: posterior)
      let nats = bound(x0: x0, xt: xt, x0Hat: x̂0, variance: halves[1], decoder: .discretized)
      let λ = λ ?? Double(process.schedule.T) / 1000
      // L_simple + λ L_{t−1}, the term in bits
      return (squares + λ / log(2.0) * nats).mean([1, 2, 3])
    }
  }

  /// The bound's terms of each sample, (N): what `VariationalBound.terms` gives, in the graph's 32 bits.
  ///
  /// - Parameters:
  ///   - x0: [N, C, H, W].
  ///   - ε: the noise in x_t.
  ///   - output: what the network said of x_t: [N, C, H, W], or [N, 2C, H, W] where the variance is learned.
  /// - Returns: L_{t−1} (L_0 at t = 1) in nats a dimension, and the mean squared errors of x̂_0, limited by a clip alone, and of ε̂.
  package func terms(
    x0: Tensor, epsilon ε: Tensor, output: Tensor, decoder: VariationalBound.Decoder
  ) -> (nats: Tensor, x0Error: Tensor, εError: Tensor) {
    let xt = level.xt(x0: x0, epsilon: ε)
    let halves = process.variance.isLearned ? output.split(axis: 1, parts: 2) : [output]
    var x̂0 = process.prediction.x0(halves[0], xt: xt, level: level, posterior: posterior)
    if case .clip(let bound) = process.limit { x̂0 = x̂0.clamped(to: -bound...bound) }
    let ε̂ = process.prediction.epsilon(halves[0], xt: xt, level: level, posterior: posterior)
    let nats = bound(
      x0: x0, xt: xt, x0Hat: x̂0, variance: halves.count == 2 ? halves[1] : nil, decoder: decoder)
    return (nats.mean([1, 2, 3]), (x0 - x̂0).squared().mean([1, 2, 3]), (ε - ε̂).squared().mean([1, 2, 3]))
  }

  /// L_{t−1} for t > 1 and L_0 for t = 1, [N, C, H, W] in nats.
  ///
  /// - Parameter variance: s_θ, where it is learned.
  private func bound(
    x0: Tensor, xt: Tensor, x0Hat x̂0: Tensor, variance: Tensor?, decoder: VariationalBound.Decoder
  ) -> Tensor {
    let process = process
    let term = BoundTerm(
      isFirst: coefficient { $0 == 1 ? 1 : 0 }, posterior: posterior,
      posteriorLogVariance: coefficient { process.schedule.posteriorLogVariance($0) }, decoder: decoder)
    let range = {
      (coefficient { process.logVarianceRange(at: $0).least }, coefficient { process.logVarianceRange(at: $0).most })
    }
    let logσ² =
      variance.map { process.logVariance($0, range: range()) } ?? coefficient { process.fixedLogVariance(at: $0) }
    return term.nats(x0: x0, xt: xt, x0Hat: x̂0, logVariance: logσ²)
  }
}
