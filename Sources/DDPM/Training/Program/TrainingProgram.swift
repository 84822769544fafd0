import Diffusion
import Networks
import TensorGraph

/// The training step as one graph: noise, forward, backward, clip, Adam and average (Ho et al. 2020, algorithm 1).
///
/// ```
/// x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε
/// L = mean_n w_n ‖ε − ε_θ(x_t, t)‖²
/// g = ∇_θ L,  g ← g min(1, c/‖g‖)
/// θ ← Adam(θ, g),  θ̄ ← d θ̄ + (1 − d) θ
/// ```
///
/// States: each parameter under its diffusers name, and `adam.m.`, `adam.v.`, `ema.` + name; with several parts a batch also
/// `accumulated.` + name, and for sums that wait (``SumTree``) `accumulated.LEVEL.` + name.
public struct TrainingProgram: Sendable {
  /// What is trained.
  public var network: any Architecture
  /// Schedule, prediction and variance.
  public var process: ReverseProcess
  /// What is minimised.
  public var objective: Objective
  /// Its constants; the learning rate comes with each step.
  public var adam: Adam
  /// The largest norm of the gradient; 0 for no limit.
  public var gradientClip: Double
  /// Samples in one run of the graph: a whole batch, or one part of it.
  public var batchSize: Int
  /// Height and width of the samples.
  public var size: SampleSize
  /// Parts in which a batch is computed, one after the other.
  public var parts = 1
  /// Devices that share each run of the graph: the graph is that of one, with its share of the samples.
  public var devices = 1
  /// Whether ε is an input `noise` instead of being drawn: to repeat what another program did.
  public var takesNoise = false

  /// One part a batch, on one device, drawing its own noise.
  ///
  /// - Parameters:
  ///   - gradientClip: the largest norm of the gradient; 0 for no limit.
  ///   - batchSize: samples in one run of the graph.
  public init(
    network: any Architecture, process: ReverseProcess, objective: Objective, adam: Adam, gradientClip: Double,
    batchSize: Int, size: SampleSize
  ) {
    self.network = network
    self.process = process
    self.objective = objective
    self.adam = adam
    self.gradientClip = gradientClip
    self.batchSize = batchSize
    self.size = size
  }

  /// Loss, gradients and update in one run. N is one device's share of `batchSize`.
  ///
  /// Inputs `x0` (N, C, H, W), `timestep` int32 (N) in 1…T, `loss_weight` (N), `counters` int32 (N, 2), `key` int32 (2), those of
  /// `Adam.inputs`, and where they apply `class_labels` int32 (N), `pictures` (N, C″, H, W), `noise` (N, C, H, W).
  /// Outputs `loss` (), `losses` (N), `gradient_norm` ().
  public func step() throws -> Program {
    let builder = GraphBuilder()
    let network = try network.declare(in: builder, prefix: "")
    update(
      network.trained, gradients: gradients(network, in: builder).map { $0.allReducedMean() }, in: builder)
    return try builder.finish()
  }

  /// One part of a batch: adds its share of the gradient to `accumulated`. The input `keep` () is 0 for a part that begins a sum, else 1.
  public func accumulate() throws -> Program {
    let builder = GraphBuilder()
    let network = try network.declare(in: builder, prefix: "")
    let gradients = gradients(network, in: builder)
    let keep = builder.input("keep", .scalar)
    for ((parameter, _), gradient) in zip(network.trained, gradients) {
      // a ← keep · a + g/k: the mean over the batch is the mean of the parts' means. + 0 forgets the sign of 0 · a.
      let name = StateName.accumulated(parameter.name)
      let accumulated = builder.state(name, parameter.shape)
      builder.update(name, (accumulated * keep).unary(.offset(0)) + gradient * (1 / Double(parts)))
    }
    return try builder.finish()
  }

  /// Adds what waits at the levels of `fold` to `accumulated`, which then waits itself, or goes on.
  func fold(_ fold: SumTree.Fold) throws -> Program {
    let builder = GraphBuilder()
    for parameter in try network.parameters() where parameter.isTrained {
      let accumulated = StateName.accumulated(parameter.name)
      var sum = builder.state(accumulated, parameter.shape)
      for level in fold.levels {
        sum = builder.state(StateName.waiting(parameter.name, level: level), parameter.shape) + sum
      }
      guard let level = fold.target else {
        builder.update(accumulated, sum)
        continue
      }
      let target = StateName.waiting(parameter.name, level: level)
      _ = builder.state(target, parameter.shape)
      builder.update(target, sum.unary(.offset(0)))
    }
    return try builder.finish()
  }

  /// ‖g_i‖² of the accumulated gradients of some of the trained parameters: output `squares`.
  func squares(of share: [Int]) throws -> Program {
    let builder = GraphBuilder()
    let trained = try network.parameters().filter(\.isTrained)
    builder.output(
      "squares", Self.squares(share.map { builder.state(StateName.accumulated(trained[$0].name), trained[$0].shape) }))
    return try builder.finish()
  }

  /// The update from the accumulated gradient. Inputs of `Adam.inputs`; output `gradient_norm`.
  ///
  /// - Parameter share: the positions of those of the trained parameters that are updated, where others are elsewhere: ‖g_i‖² of all is then
  ///   the input `squares`. nil for all.
  public func apply(share: [Int]? = nil) throws -> Program {
    let builder = GraphBuilder()
    let trained = try network.declare(in: builder, prefix: "").trained
    let updated = share.map { share in share.map { trained[$0] } } ?? trained
    let gradients = updated.map {
      builder.state(StateName.accumulated($0.parameter.name), $0.parameter.shape).allReducedMean()
    }
    // Of each parameter by itself, so that the sum is the same wherever they are.
    let squares = share == nil ? Self.squares(gradients) : builder.input("squares", [trained.count])
    update(updated, gradients: gradients, squaredNorm: squares.sum(), in: builder)
    return try builder.finish()
  }

  private static func squares(_ gradients: [Tensor]) -> Tensor {
    concat(gradients.map { sumOfSquares([$0]).reshaped([1]) }, axis: 0)
  }

  /// ∇_θ L, with the loss as output.
  private func gradients(_ network: any Network, in builder: GraphBuilder) -> [Tensor] {
    let n = batchSize / devices
    let sample: Shape = [self.network.channels, size.height, size.width]
    let x0 = builder.input("x0", Shape([n] + sample.dimensions))
    let t = builder.input("timestep", [n], .int32)
    let weight = builder.input("loss_weight", [n])
    let counters = builder.input("counters", [n, 2], .int32)
    let key = builder.input("key", [2], .int32)

    let ε =
      takesNoise
      ? builder.input("noise", x0.shape)
      : .gaussianNoise(sample: sample, counters: counters, key: key, stream: RandomStream.trainingNoise.rawValue)
    let graph = ProcessGraph(process, t: t)
    let xt = graph.noised(x0, epsilon: ε)
    let output = network(
      xt, t: graph.zeroBased, given: self.network.inputs(in: builder, batchSize: n, size: size),
      dropout: self.network.hasDropout ? DropoutSource(counters: counters, key: key) : nil)
    let losses = graph.losses(objective, x0: x0, epsilon: ε, output: output)
    let loss = (weight * losses).mean()
    builder.output("loss", loss.allReducedMean())
    builder.output("losses", losses)
    return builder.gradients(of: loss, withRespectTo: network.trained.map(\.tensor))
  }

  private func update(
    _ trained: [(parameter: Parameter, tensor: Tensor)], gradients: [Tensor], squaredNorm: Tensor? = nil,
    in builder: GraphBuilder
  ) {
    let norm = builder.optimize(
      trained.map { ($0.parameter.name, $0.tensor) }, gradients: gradients, with: adam,
      clipNorm: gradientClip > 0 ? gradientClip : nil, squaredNorm: squaredNorm)
    builder.output("gradient_norm", norm)
  }
}

/// What the states of a training program are called.
enum StateName {
  static let m = Adam.StatePrefix.m
  static let v = Adam.StatePrefix.v
  static let ema = Adam.StatePrefix.ema

  static func accumulated(_ parameter: String) -> String { "accumulated." + parameter }

  /// The sum of 2ˡ parts that waits for another.
  static func waiting(_ parameter: String, level: Int) -> String { "accumulated.\(level)." + parameter }
}
