import Diffusion

/// What lies between and around images in the latent space x_t: interpolations and stochastic reconstructions (Ho et al. 2020, figures 7
/// and 8).
public struct LatentPaths<D: Denoiser> {
  /// p_θ, all T of whose steps are walked.
  public let process: ReverseProcess
  /// What is asked.
  public let denoiser: D
  /// Of all noise.
  public let seed: UInt64

  /// - Parameter seed: of all noise; the same gives the same paths.
  public init(_ process: ReverseProcess, denoiser: D, seed: UInt64) {
    self.process = process
    self.denoiser = denoiser
    self.seed = seed
  }

  /// x̄_0 ~ p_θ(x_0 | x̄_t) for x̄_t = (1−λ) x_t + λ x'_t, at each λ.
  ///
  /// Both latents hold the same ε, and all λ are decoded with the same noise at each step, so that only λ differs between the results.
  ///
  /// - Parameters:
  ///   - a: λ = 0; [1, C, H, W].
  ///   - b: λ = 1.
  ///   - condition: of each λ's image.
  ///   - observe: called after each step with the steps done of all.
  /// - Returns: one sample for each λ.
  /// - Throws: ``SamplingError/notFinite(step:of:t:)``, and what the denoiser throws.
  public func interpolation(
    from a: Images, to b: Images, at t: Timestep, λ: [Double], given condition: Condition = .none,
    observe: ((Int, Int) throws -> Void)? = nil
  ) throws -> Images {
    let ε = noise.initialNoise(shape: a.shape)
    let (xtA, xtB) = (noised(a, at: t, ε: ε), noised(b, at: t, ε: ε))
    // x̄_t = (1−λ) x_t + λ x'_t
    let latents = Images(joining: λ.map { (1 - $0) * xtA + $0 * xtB })
    return try decode(latents, from: t, given: condition, noise: SharedNoise(noise), observe)
  }

  /// The classes that the images of an interpolation are decoded as: the first image's for λ < ½, then the second's. There is nothing
  /// between two classes.
  public static func labels(_ λ: [Double], from a: Int, to b: Int) -> [Int] {
    λ.map { $0 < 0.5 ? a : b }
  }

  /// Several x̂_0 ~ p_θ(x_0 | x_t) of one x_t ~ q(x_t | x_0): what x_t has kept of an image is what they have in common.
  ///
  /// - Returns: x_t, and the reconstructions.
  public func reconstructions(
    of x0: Images, at t: Timestep, count: Int, given condition: Condition = .none,
    observe: ((Int, Int) throws -> Void)? = nil
  ) throws -> (xt: Images, samples: Images) {
    let xt = noised(x0, at: t, ε: noise.initialNoise(shape: x0.shape))
    let latents = Images(joining: Array(repeating: xt, count: count))
    return (xt, try decode(latents, from: t, given: condition, noise: noise, observe))
  }

  private var noise: CounterNoise { CounterNoise(seed: seed) }

  private func noised(_ x0: Images, at t: Timestep, ε: Images) -> Images {
    ForwardProcess(process.schedule).noised(x0, at: t, epsilon: ε)
  }

  /// The ancestral chain from x_t down.
  private func decode(
    _ xt: Images, from t: Timestep, given condition: Condition, noise: some NoiseSource,
    _ observe: ((Int, Int) throws -> Void)?
  ) throws -> Images {
    var noise = noise
    let timesteps = process.schedule.timesteps.prefix(t.number).reversed()
    return try withoutActuallyEscaping(observe ?? { _, _ in }) { observe in
      try Ancestral().sample(
        shape: xt.shape, timesteps: Array(timesteps), process: process, denoiser: denoiser, given: condition,
        noise: &noise, start: xt
      ) {
        guard $0.x.isFinite else { throw SamplingError.notFinite(step: $0.done, of: $0.count, t: $0.transition.from) }
        try observe($0.done, $0.count)
      }
    }
  }
}

/// The same noise for every sample of a batch.
struct SharedNoise: NoiseSource {
  private let one: CounterNoise

  init(_ one: CounterNoise) { self.one = one }

  func initialNoise(shape: Images.Shape) -> Images { spread(over: shape) { one.initialNoise(shape: $0) } }

  func stepNoise(leaving t: Timestep, shape: Images.Shape) -> Images {
    spread(over: shape) { one.stepNoise(leaving: t, shape: $0) }
  }

  private func spread(over shape: Images.Shape, _ draw: (Images.Shape) -> Images) -> Images {
    var single = shape
    single.count = 1
    return Images(joining: Array(repeating: draw(single), count: shape.count))
  }
}
