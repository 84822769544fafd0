/// A way from x_T to x_0: how to take one step. `sample` walks the whole way with it.
public protocol Sampler: Sendable {
  /// The steps for the visited levels, given from noise to data. By default each level to the next, the last to the data.
  func transitions(_ timesteps: [Timestep]) -> [Transition]

  /// One step.
  mutating func step(_ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>) throws -> StepResult
}

/// A step from one level to another.
public struct Transition: Sendable, Hashable {
  /// t.
  public let from: Timestep
  /// s, less than t but in inversion.
  public let to: Timestep

  /// A step from t to s.
  public init(from: Timestep, to: Timestep) {
    self.from = from
    self.to = to
  }

  /// From each level to the next.
  ///
  /// - Parameters:
  ///   - final: what the last step aims at.
  ///   - stride: so many levels down instead, whatever level comes next; below level 1 to `final`.
  public static func chain(_ timesteps: [Timestep], to final: Timestep = .data, stride: Int? = nil) -> [Transition] {
    let next =
      stride.map { stride in timesteps.map { $0.number > stride ? Timestep($0.number - stride) : final } }
      ?? Array(timesteps.dropFirst()) + [final]
    return zip(timesteps, next).map { Transition(from: $0, to: $1) }
  }
}

/// What a step has to work with.
public struct StepContext<D: Denoiser, Noise: NoiseSource> {
  /// p_θ.
  public let process: ReverseProcess
  /// From where to where the step leads.
  public let transition: Transition
  /// This step among all, from 0.
  public let index: Int
  /// Steps of the whole chain.
  public let count: Int
  /// What is asked of the samples.
  public let condition: Condition
  let denoiser: D
  var noise: Noise

  /// The process's.
  public var schedule: NoiseSchedule { process.schedule }

  /// Asks the denoiser about `x` at `t`.
  public func denoise(_ x: Images, at t: Timestep) throws -> Denoised {
    process.denoised(try predict(x, at: t), xt: x, at: t)
  }

  /// As `denoise`, for solvers of the probability-flow ODE: with the finite `level` of t, and with the ε̂ that explains x together with the
  /// limited x̂_0.
  public func explain(_ x: Images, at t: Timestep) throws -> Denoised {
    let level = level(t)
    let denoised = process.denoised(try predict(x, at: t), xt: x, at: t, level: level)
    if process.limit == .none { return denoised }
    return Denoised(x0: denoised.x0, ε: level.epsilon(x0: denoised.x0, xt: x), variance: denoised.variance)
  }

  private func predict(_ x: Images, at t: Timestep) throws -> Images {
    try denoiser.predict(x, at: [Timestep](repeating: t, count: x.shape.count), given: condition)
  }

  /// √ᾱ and √(1−ᾱ) at a level, also between two timesteps, and finite σ̄ and λ also where zero terminal SNR leaves no signal.
  public func level(_ t: Timestep) -> NoiseLevel<Double> { schedule.finiteLevel(t) }

  /// z ~ N(0, I) for this step.
  public mutating func drawNoise(like x: Images) throws -> Images {
    try noise.stepNoise(leaving: transition.from, shape: x.shape)
  }

  /// ln σ² of the decoder p_θ(x_0 | x_t), where this step leads to the data; between two timesteps that of the lower.
  public func decoderLogVariance(_ denoised: Denoised) -> LogVariance? {
    guard transition.to == .data else { return nil }
    return process.logVariance(denoised, at: Timestep(transition.from.number), to: .data)
  }

  /// The step's result: x_s, and what `denoised` says of x_0.
  public func result(_ x: Images, _ denoised: Denoised) -> StepResult {
    StepResult(x: x, x0: denoised.x0, decoderLogVariance: decoderLogVariance(denoised))
  }
}

/// Where a step leads.
public struct StepResult: Sendable {
  /// x_s.
  public let x: Images
  /// The x̂_0 that the step aimed at.
  public let x0: Images
  /// ln σ² of p_θ(x_0 | x_t) where this was the step to the data and the sampler knows it.
  public let decoderLogVariance: LogVariance?

  /// What a step of one's own made.
  public init(x: Images, x0: Images, decoderLogVariance: LogVariance? = nil) {
    self.x = x
    self.x0 = x0
    self.decoderLogVariance = decoderLogVariance
  }
}

/// A finished step, for who watches.
public struct SamplingProgress: Sendable {
  /// Steps done, 1…count.
  public let done: Int
  /// Steps of the whole chain.
  public let count: Int
  /// From where to where the step leads.
  public let transition: Transition
  /// The image at `transition.to`.
  public let x: Images
  /// The x̂_0 seen from `transition.from`.
  public let x0: Images
  /// ln σ² of p_θ(x_0 | x_t) where this was the step to the data and the sampler knows it.
  public let decoderLogVariance: LogVariance?
}

extension Sampler {
  /// From each level to the next, the last to the data.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] {
    Transition.chain(timesteps)
  }

  /// Walks the chain.
  ///
  /// - Parameters:
  ///   - timesteps: the levels to visit, from noise to data; `TimestepSpacing` or all of `schedule.timesteps`, reversed.
  ///   - condition: what is asked of the samples.
  ///   - start: where to begin; drawn from `noise` unless given.
  ///   - observe: called after each step; throw from it to stop.
  /// - Returns: x_0, [N, C, H, W]. The last step adds no noise: it is the mean of the decoder p(x_0 | x_1).
  public func sample<Noise: NoiseSource>(
    shape: Images.Shape, timesteps: [Timestep], process: ReverseProcess, denoiser: some Denoiser,
    given condition: Condition = .none, noise: inout Noise, start: Images? = nil,
    observe: ((SamplingProgress) throws -> Void)? = nil
  ) throws -> Images {
    let start = try start ?? noise.initialNoise(shape: shape)
    precondition(start.shape == shape, "the start has shape \(start.shape), not \(shape)")
    var walk = SamplingWalk(
      from: start, timesteps: timesteps, process: process, sampler: self, denoiser: denoiser, given: condition,
      noise: noise)
    while let progress = try walk.next() { try observe?(progress) }
    noise = walk.noise
    return walk.x
  }
}
