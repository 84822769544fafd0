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
/// `accumulated.` + name.
public struct TrainingProgram: Sendable {
  public var network: UNetConfig
  public var process: ReverseProcess
  public var objective: Objective
  public var adam: Adam
  /// The largest norm of the gradient; 0 for no limit.
  public var gradientClip: Double
  /// Images in one run of the graph: a whole batch, or one part of it.
  public var batchSize: Int
  public var height: Int
  public var width: Int
  /// Parts in which a batch is computed.
  public var parts = 1
  /// Whether ε is an input `noise` instead of being drawn: to repeat what another program did.
  public var takesNoise = false

  public init(
    network: UNetConfig, process: ReverseProcess, objective: Objective, adam: Adam, gradientClip: Double,
    batchSize: Int, height: Int, width: Int
  ) {
    self.network = network
    self.process = process
    self.objective = objective
    self.adam = adam
    self.gradientClip = gradientClip
    self.batchSize = batchSize
    self.height = height
    self.width = width
  }

  /// Loss, gradients and update in one run.
  ///
  /// Inputs `x0` (N, C, H, W), `timestep` int32 (N) in 1…T, `loss_weight` (N), `counters` int32 (N, 2), `key` int32 (2), `schedule`
  /// (5: `Adam.Schedule`, its gradient scale ignored), and `class_labels` int32 (N) or `noise` (N, C, H, W) where they apply.
  /// Outputs `loss` (), `losses` (N), `gradient_norm` ().
  public func step() throws -> Program {
    let builder = GraphBuilder()
    let unet = try UNet(network, in: builder)
    let trained = unet.trained
    update(trained, gradients: gradients(unet, trained, in: builder), in: builder)
    return try builder.finish()
  }

  /// One part of a batch: adds its share of the gradient to `accumulated`. The input `keep` () is 0 for the first part, 1 for the others.
  public func accumulate() throws -> Program {
    let builder = GraphBuilder()
    let unet = try UNet(network, in: builder)
    let trained = unet.trained
    let gradients = gradients(unet, trained, in: builder)
    let keep = builder.input("keep", .scalar)
    for ((parameter, _), gradient) in zip(trained, gradients) {
      // a ← keep · a + g/k: the mean over the batch is the mean of the parts' means.
      let name = StateName.accumulated(parameter.name)
      let accumulated = builder.state(name, parameter.shape)
      builder.update(name, accumulated * keep + gradient * (1 / Double(parts)))
    }
    return try builder.finish()
  }

  /// The update from the accumulated gradient. Input `schedule`; output `gradient_norm`.
  public func apply() throws -> Program {
    let builder = GraphBuilder()
    let trained = try UNet(network, in: builder).trained
    let gradients = trained.map { builder.state(StateName.accumulated($0.parameter.name), $0.parameter.shape) }
    update(trained, gradients: gradients, in: builder)
    return try builder.finish()
  }

  /// ∇_θ L, with the loss as output.
  private func gradients(
    _ unet: UNet, _ trained: [(parameter: Parameter, tensor: Tensor)], in builder: GraphBuilder
  ) -> [Tensor] {
    let n = batchSize
    let sample: Shape = [network.inChannels, height, width]
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
    let output = unet(
      sample: xt, timestep: graph.zeroBased,
      classLabels: network.classEmbedding == nil ? nil : builder.input("class_labels", [n], .int32),
      dropout: network.dropout > 0 ? DropoutSource(counters: counters, key: key) : nil)
    // A value of its own, which differentiation takes for a constant while the original is differentiated.
    var constants: [Tensor] = []
    let losses = graph.losses(objective, x0: x0, epsilon: ε, output: output) { value in
      constants.append(value.unary(.scale(1)))
      return constants[constants.count - 1]
    }
    let loss = (weight * losses).mean()
    builder.output("loss", loss)
    builder.output("losses", losses)
    return builder.gradients(of: loss, withRespectTo: trained.map(\.tensor), holding: constants)
  }

  private func update(
    _ trained: [(parameter: Parameter, tensor: Tensor)], gradients: [Tensor], in builder: GraphBuilder
  ) {
    // ‖g‖ over all parameters; g ← g min(1, c/(‖g‖ + 10⁻⁶)), as torch.nn.utils.clip_grad_norm_
    let norm = sumOfSquares(gradients).squareRoot()
    builder.output("gradient_norm", norm)
    let given = builder.input("schedule", [Adam.Schedule.allCases.count])
    let scale =
      gradientClip > 0 ? (gradientClip / (norm + 1e-6)).minimum(builder.constant(1)) : builder.constant(1)
    let at = Adam.Schedule.gradientScale.rawValue
    let schedule = concat(
      [given.sliced(axis: 0, 0..<at), scale.reshaped([1]), given.sliced(axis: 0, at + 1..<given.shape[0])], axis: 0)

    for ((parameter, tensor), gradient) in zip(trained, gradients) {
      let names = StateName.moments(parameter.name)
      let state = AdamState(
        parameter: tensor, m: builder.state(names.m, parameter.shape), v: builder.state(names.v, parameter.shape),
        ema: builder.state(names.ema, parameter.shape))
      let next = adam.step(state, gradient: gradient, schedule: schedule)
      builder.update(parameter.name, next.parameter)
      builder.update(names.m, next.m)
      builder.update(names.v, next.v)
      builder.update(names.ema, next.ema)
    }
  }
}

extension TrainingProgram {
  /// The network's numbers that are trained or fixed.
  public var parameterCount: Int {
    ((try? UNet.parameters(of: network)) ?? []).reduce(0) { $0 + $1.shape.count }
  }
}

/// What the states of a training program are called.
enum StateName {
  static let m = "adam.m."
  static let v = "adam.v."
  static let ema = "ema."

  static func moments(_ parameter: String) -> (m: String, v: String, ema: String) {
    (m + parameter, v + parameter, ema + parameter)
  }

  static func accumulated(_ parameter: String) -> String { "accumulated." + parameter }
}
