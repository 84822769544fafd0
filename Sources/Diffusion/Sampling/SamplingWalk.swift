/// A chain on its way from x_T to x_0, one step at each call: what `Sampler.sample` walks at once.
public struct SamplingWalk<S: Sampler, D: Denoiser, Noise: NoiseSource> {
  /// p_θ.
  public let process: ReverseProcess
  /// All steps, those done too.
  public let transitions: [Transition]
  /// What is asked of the samples.
  public let condition: Condition
  private var sampler: S
  private let denoiser: D
  /// What is left of the noise.
  public private(set) var noise: Noise
  /// Where the chain is.
  public private(set) var x: Images
  /// Steps done.
  public private(set) var done = 0

  /// - Parameters:
  ///   - start: x_T, or x_t where the chain begins at a later level.
  ///   - timesteps: the levels to visit, from noise to data.
  ///   - condition: what is asked of the samples.
  public init(
    from start: Images, timesteps: [Timestep], process: ReverseProcess, sampler: S, denoiser: D,
    given condition: Condition = .none, noise: Noise
  ) {
    self.process = process
    self.sampler = sampler
    self.denoiser = denoiser
    self.condition = condition
    self.noise = noise
    x = start
    transitions = sampler.transitions(timesteps)
  }

  /// Takes the next step; nil at the end.
  public mutating func next() throws -> SamplingProgress? {
    guard done < transitions.count else { return nil }
    var context = StepContext(
      process: process, transition: transitions[done], index: done, count: transitions.count, condition: condition,
      denoiser: denoiser, noise: noise)
    let result = try sampler.step(x, &context)
    noise = context.noise
    x = result.x
    done += 1
    return SamplingProgress(
      done: done, count: transitions.count, transition: transitions[done - 1], x: result.x, x0: result.x0,
      decoderLogVariance: result.decoderLogVariance)
  }
}
