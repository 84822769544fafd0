import Diffusion

/// One image to measure.
public struct EvaluationImage: Sendable {
  /// [1, C, H, W] in [−1, 1].
  public let x0: Images
  /// What the network is told of it.
  public let condition: Condition

  /// - Parameter x0: [1, C, H, W] in [−1, 1].
  public init(x0: Images, given condition: Condition = .none) {
    precondition(x0.shape.count == 1, "one image, not \(x0.shape)")
    self.x0 = x0
    self.condition = condition
  }
}

/// Where the x_t of an image come from. Both have the same distribution at each t.
public enum NoisePath: String, Sendable {
  /// Each x_t by itself: q(x_t | x_0).
  case independent
  /// A chain as it is sent in progressive coding (Ho et al. 2020, algorithm 3): x_T ~ q(x_T | x_0), then x_{t−1} ~ q(x_{t−1} | x_t, x_0).
  case trajectory
}

/// The (x_t, t) of one image, one after the other, from large t to small; a function of the seed and the image's index.
struct ImageWalk: Sequence, IteratorProtocol {
  /// One question to the network: an image, the noise in it, and t.
  struct Pair {
    /// The image's number.
    let index: Int
    let x0: Images
    /// nil where the device draws it.
    let ε: Images?
    let t: Timestep
    let condition: Condition
  }

  private let image: EvaluationImage
  private let index: Int
  private let draws: Bool
  private let visits: [TimestepVisits.Visit]
  private let path: NoisePath
  private let schedule: NoiseSchedule
  private let noise: CounterNoise
  private var position = 0
  /// Of the trajectory: where it is.
  private var xt: Images?

  /// - Parameter draws: whether the noise is drawn here.
  init(
    _ image: EvaluationImage, index: Int, visits: [TimestepVisits.Visit], path: NoisePath, schedule: NoiseSchedule,
    seed: UInt64, draws: Bool = true
  ) {
    self.image = image
    self.index = index
    self.draws = draws
    self.visits = visits
    self.path = path
    self.schedule = schedule
    noise = CounterNoise(seed: seed, firstSample: index, stream: .evaluation)
  }

  mutating func next() -> Pair? {
    guard position < visits.count else { return nil }
    let t = visits[position].t
    position += 1
    let ε: Images? =
      switch path {
      case .independent where !draws: nil
      case .independent: noise.stepNoise(leaving: t, shape: image.x0.shape)
      case .trajectory: trajectoryNoise(at: t)
      }
    return Pair(index: index, x0: image.x0, ε: ε, t: t, condition: image.condition)
  }

  /// The ε of the trajectory's x_t. It takes one step each time: all t are visited.
  private mutating func trajectoryNoise(at t: Timestep) -> Images {
    let x0 = image.x0
    let x: Images
    if let above = xt {
      // x_t = μ̃(x_{t+1}, x_0) + √β̃_{t+1} z
      let s = Timestep(t.number + 1)
      let z = noise.stepNoise(leaving: s, shape: x0.shape)
      x = schedule.posterior(s).mean(x0: x0, xt: above) + schedule.posteriorVariance(s).squareRoot() * z
    } else {
      // x_T ~ q(x_T | x_0)
      x = ForwardProcess(schedule).noised(x0, at: t, epsilon: noise.initialNoise(shape: x0.shape))
    }
    xt = x
    return schedule.level(t).epsilon(x0: x0, xt: x)
  }
}
