import Diffusion

/// Pictures made from a picture, with a model that was never trained for it: what `ddpm edit` does.
///
/// All walk DDIM's chain (`eta` 0 to 1) over the same levels. Sample n of several depends on (seed, n), not on how many there are.
public struct Editing {
  /// The model's, with its limit on x̂_0; what cannot be done under a limit is done without.
  public let process: ReverseProcess
  /// What is asked: a network, guided or not.
  public let denoiser: any Denoiser
  /// The levels to visit, from noise to data.
  public let timesteps: [Timestep]
  /// η of DDIM: 0 draws no noise, 1 as much as the ancestral chain.
  public let eta: Double
  /// Sample n of several depends on (seed, n).
  public let seed: UInt64

  /// Called after each step with the steps done of all; throw from it to stop.
  public typealias Observer = (_ done: Int, _ total: Int) throws -> Void

  /// - Parameter steps: levels, evenly down from T.
  /// - Throws: `SpacingError` where they do not fit.
  public init(
    _ process: ReverseProcess, denoiser: any Denoiser, steps: Int, eta: Double = 0, seed: UInt64 = 0
  ) throws {
    self.process = process
    self.denoiser = denoiser
    timesteps = try TimestepSpacing.trailing.timesteps(steps, of: process.schedule.T)
    self.eta = eta
    self.seed = seed
  }

  /// The picture noised as far as `strength` says, and drawn anew from there: little keeps it, 1 forgets it (SDEdit, Meng et al. 2022).
  ///
  /// - Parameters:
  ///   - x0: [1, C, H, W].
  ///   - strength: in (0, 1]: the share of the T levels.
  ///   - condition: of `count` samples.
  public func redrawn(
    _ x0: Images, strength: Double, count: Int = 1, given condition: Condition = .none, observe: Observer? = nil
  ) throws -> Images {
    precondition(strength > 0 && strength <= 1, "a strength of \(strength)")
    let t = Timestep(max(1, Int((strength * Double(process.schedule.T)).rounded())))
    let x0 = x0.repeated(count)
    // x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε
    let xt = ForwardProcess(process.schedule).noised(x0, at: t, epsilon: noise.initialNoise(shape: x0.shape))
    return try walk(
      sampler, from: xt, over: [t] + timesteps.filter { $0 < t }, process, denoiser, condition, noise, observe)
  }

  /// The picture with its hidden part painted. Known pixels come out as they went in.
  ///
  /// - Parameters:
  ///   - x0: [1, C, H, W].
  ///   - isHidden: for each of its scalars whether it is to be painted.
  ///   - jumps: RePaint's; nil for none.
  public func inpainted(
    _ x0: Images, isHidden: [Bool], jumps: Inpainting<DDIM>.Jumps? = nil, count: Int = 1,
    given condition: Condition = .none, observe: Observer? = nil
  ) throws -> Images {
    try walk(
      Inpainting(sampler, known: x0, isHidden: isHidden, jumps: jumps), from: start(like: x0, count), over: timesteps,
      process, denoiser, condition, VisitNoise(noise), observe)
  }

  /// Pictures of which `measurement` could have been made.
  ///
  /// - Parameters:
  ///   - shape: [C, H, W] of one of them; its count does not matter.
  ///   - dataVariance: s² of a pixel, as `MeasuredDenoiser` takes it.
  public func restored(
    from measurement: LinearMeasurement, shape: Images.Shape, dataVariance: Double = 1, count: Int = 1,
    given condition: Condition = .none, start: Images? = nil, observe: Observer? = nil
  ) throws -> Images {
    var shape = shape
    shape.count = count
    let measured = MeasuredDenoiser(
      denoiser, process: process, measurement: measurement, dataVariance: dataVariance)
    // A limit after the measurement would contradict it.
    return try walk(
      sampler, from: start ?? noise.initialNoise(shape: shape), over: timesteps, process.limited(.none), measured,
      condition, noise, observe)
  }

  /// The picture as it would look under another condition: DDIM backwards to the x_T that draws it under its own, and forwards from there
  /// under the other. What the condition says nothing of stays.
  ///
  /// - Parameters:
  ///   - x0: [1, C, H, W].
  ///   - inverting: the denoiser of the way back, unguided: guided predictions are harder to invert; nil for the same.
  ///   - refinements: fixed-point iterations of each step back.
  public func carried(
    _ x0: Images, from own: Condition, to other: Condition, inverting: (any Denoiser)? = nil, refinements: Int = 3,
    observe: Observer? = nil
  ) throws -> Images {
    // A limit cannot be inverted.
    let process = process.limited(.none)
    let (back, total) = (inverting ?? denoiser, 2 * timesteps.count)
    let xT = try walk(
      DDIMInversion(refinements: refinements), from: x0, over: timesteps, process, back, own, noise
    ) { done, _ in try observe?(done, total) }
    return try walk(DDIM(), from: xT, over: timesteps, process, denoiser, other, noise) { done, _ in
      try observe?(timesteps.count + done, total)
    }
  }

  /// Pictures from noise alone, for a network that is shown what to draw.
  public func drawn(shape: Images.Shape, given condition: Condition, observe: Observer? = nil) throws -> Images {
    try walk(
      sampler, from: noise.initialNoise(shape: shape), over: timesteps, process, denoiser, condition, noise, observe)
  }

  private var sampler: DDIM { DDIM(eta: eta, rederivesNoise: true) }
  private var noise: CounterNoise { CounterNoise(seed: seed) }

  private func start(like x0: Images, _ count: Int) -> Images {
    var shape = x0.shape
    shape.count = count
    return noise.initialNoise(shape: shape)
  }

  private func walk(
    _ sampler: some Sampler, from start: Images, over timesteps: [Timestep], _ process: ReverseProcess,
    _ denoiser: some Denoiser, _ condition: Condition, _ noise: some NoiseSource, _ observe: Observer?
  ) throws -> Images {
    var walk = SamplingWalk(
      from: start, timesteps: timesteps, process: process, sampler: sampler, denoiser: denoiser, given: condition,
      noise: noise)
    while let step = try walk.next() {
      guard step.x.isFinite else {
        throw SamplingError.notFinite(step: step.done, of: step.count, t: step.transition.from)
      }
      try observe?(step.done, step.count)
    }
    return walk.x
  }
}
