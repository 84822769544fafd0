/// From when on a trajectory's class is settled: two copies of x_t go on with noises of their own, and φ(t) is the chance that both arrive
/// in the same class (the cloning experiment of Biroli et al. 2024).
///
/// φ is ½ or less before classes part, for classes of equal size, and 1 once they have. The sampler must draw noise: copies of a
/// deterministic one never part.
public struct CloningExperiment {
  /// p_θ, by which trajectories and copies are drawn.
  public let process: ReverseProcess
  /// The levels that a trajectory visits, from noise to data.
  public let timesteps: [Timestep]
  /// Of all noise: trajectory n depends on (seed, n), not on how many there are.
  public let seed: UInt64

  /// - Parameter timesteps: from noise to data.
  public init(process: ReverseProcess, timesteps: [Timestep], seed: UInt64) {
    self.process = process
    self.timesteps = timesteps
    self.seed = seed
  }

  /// Where trajectories end, and where their copies do that part from them at some visited levels.
  ///
  /// - Parameters:
  ///   - shape: of all trajectories together.
  ///   - levels: where copies are made; each one of `timesteps`.
  ///   - condition: what is asked of all of them.
  ///   - firstSample: the number of the first trajectory, so that a long experiment may come in parts.
  ///   - observe: called after each step of each walk; throw from it to stop.
  /// - Returns: x_0 of the trajectories, and x_0' of the copies made at each level.
  public func ends(
    shape: Images.Shape, at levels: [Timestep], sampler: some Sampler, denoiser: some Denoiser,
    given condition: Condition = .none, firstSample: Int = 0, observe: (() throws -> Void)? = nil
  ) throws -> (originals: Images, copies: [Timestep: Images]) {
    for level in levels { precondition(timesteps.contains(level), "no trajectory visits t = \(level)") }
    var noise = CounterNoise(seed: seed, firstSample: firstSample)
    let start = noise.initialNoise(shape: shape)
    var seen = timesteps.first.map { [$0: start] } ?? [:]
    let originals = try sampler.sample(
      shape: shape, timesteps: timesteps, process: process, denoiser: denoiser, given: condition, noise: &noise,
      start: start
    ) {
      if levels.contains($0.transition.to) { seen[$0.transition.to] = $0.x }
      try observe?()
    }
    var copies: [Timestep: Images] = [:]
    for level in levels {
      guard let xt = seen[level] else { continue }
      // The trajectory itself is one copy; the other has noise of its own, another at every level.
      var noise = CounterNoise(seed: seed ^ (UInt64(level.number) << 32 | 1), firstSample: firstSample)
      copies[level] = try sampler.sample(
        shape: shape, timesteps: timesteps.filter { $0 <= level }, process: process, denoiser: denoiser,
        given: condition, noise: &noise, start: xt
      ) { _ in try observe?() }
    }
    return (originals, copies)
  }

  /// φ at each of some visited levels.
  ///
  /// - Parameters:
  ///   - classify: the class of each x_0.
  ///   - shape, levels, condition, firstSample, observe: as for `ends`.
  /// - Returns: for each level, whether the copies of each trajectory agree. `Measured(mean:)` of zeros and ones is φ.
  public func agreements(
    shape: Images.Shape, at levels: [Timestep], sampler: some Sampler, denoiser: some Denoiser,
    given condition: Condition = .none, firstSample: Int = 0, observe: (() throws -> Void)? = nil,
    classify: (Images) throws -> [Int]
  ) throws -> [Timestep: [Bool]] {
    let ends = try ends(
      shape: shape, at: levels, sampler: sampler, denoiser: denoiser, given: condition, firstSample: firstSample,
      observe: observe)
    let original = try classify(ends.originals)
    // φ(t) = P(c(x_0) = c(x_0')), x_0 and x_0' from one x_t
    return try ends.copies.mapValues { zip(original, try classify($0)).map { $0 == $1 } }
  }
}
