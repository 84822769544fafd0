import Diffusers
import Diffusion
import Networks

/// What to draw from a ``Model``, and how.
public struct SamplingRequest: Sendable {
  /// Which of the seed's endless series of samples. Sample i depends on the seed and on i, not on what else is drawn.
  public var samples: Range<Int>
  /// Those of `samples` that are drawn, in runs; nil: all. So a request that was stopped goes on with what is missing.
  public var parts: [Range<Int>]?
  /// Samples that are computed together. It changes the speed and the memory, never the samples.
  public var batchSize = 16
  /// Names an endless series of samples.
  public var seed: UInt64 = 0
  /// How a chain walks; nil: the model's own scheduler, all T steps.
  public var plan: SamplingPlan?
  /// What is asked of the samples; nil: for a model with classes, sample i is of class i mod the number of classes.
  public var condition: (@Sendable (Range<Int>) throws -> Condition)?
  /// How far predictions are drawn away from worse ones; nil: not at all.
  public var guidance: Guidance?
  /// A worse model, or an earlier checkpoint, whose prediction takes the place of the one without class (Karras et al. 2024).
  public var weaker: Model?
  /// Height and width; nil: the model's own.
  public var size: SampleSize?
  /// How the last step's Gaussian becomes 8-bit pixels.
  public var decoder = DiscretizedDecoder.PixelChoice.mostProbable
  /// x_T [N, C, H, W], and the noise of each step, of all `samples`, whichever are drawn; drawn from `seed` unless given.
  public var initialNoise: Images?
  /// Of each step that draws noise, in their order, [N, C, H, W] of all `samples`; drawn from `seed` unless given.
  public var stepNoise: [Images]?
  /// Whether the noise that was drawn is kept with the samples.
  public var recordsNoise = false

  /// The samples that are drawn.
  public var count: Int { parts.map { $0.reduce(0) { $0 + $1.count } } ?? samples.count }

  /// - Parameter count: samples 0 ..< count.
  public init(count: Int = 16) { samples = 0..<max(0, count) }

  /// - Parameter samples: which of the series.
  public init(samples: Range<Int>) { self.samples = samples }
}

/// How a chain walks from x_T to x_0: any sampler, schedule and levels, also ones that you wrote.
public struct SamplingPlan: Sendable {
  /// Schedule, prediction, variance and limit.
  public var process: ReverseProcess
  /// How a step is taken.
  public var sampler: any Sampler
  /// The levels to visit, from noise to data.
  public var timesteps: [Timestep]

  /// - Parameter timesteps: the levels to visit, from noise to data.
  public init(process: ReverseProcess, sampler: any Sampler, timesteps: [Timestep]) {
    self.process = process
    self.sampler = sampler
    self.timesteps = timesteps
  }
}

extension Model {
  /// The plan of a sampler by name.
  ///
  /// - Parameters:
  ///   - steps: nil for the method's own choice; all T for `ddpm`.
  ///   - spacing: which levels; nil for the model's own.
  ///   - eta: of DDIM: the noise of each step as a fraction of the ancestral one.
  ///   - variance: of `ddpm`; nil for the model's own.
  ///   - sigmas: how σ is spaced, in place of t; nil for the sampler's own way.
  ///   - matchesDiffusers: also where diffusers' own rule is off.
  /// - Throws: ``SamplingError`` for choices that do not fit the method or the model, and `SpacingError`.
  public func plan(
    _ method: SamplerChoice = .ddpm, steps: Int? = nil, spacing: TimestepSpacing? = nil, eta: Double = 0,
    variance: ReverseVariance? = nil, sigmas: SigmaSpacing? = nil, matchesDiffusers: Bool = false
  ) throws -> SamplingPlan {
    var scheduler = method.scheduler(for: scheduler, matchesDiffusers: matchesDiffusers)
    if let sigmas {
      guard method.spacesSigmas else { throw SamplingError.sigmasWithout(method) }
      scheduler.sigmas = sigmas
    }
    if let spacing { scheduler.spacing = spacing }
    guard variance == nil || method == .ddpm else { throw SamplingError.varianceWithout(method) }
    if let variance { scheduler.variance = variance }
    let process = try process(scheduler)
    let steps = steps ?? method.defaultSteps(T: scheduler.T)
    guard (1...scheduler.T).contains(steps) else { throw SamplingError.steps(steps, T: scheduler.T) }
    guard (0...1).contains(eta) else { throw SamplingError.eta(eta) }
    guard eta == 0 || method == .ddim else { throw SamplingError.etaWithout(method) }
    return SamplingPlan(
      process: process, sampler: try method.sampler(scheduler, steps: steps, eta: eta),
      timesteps: try scheduler.timesteps(steps))
  }

  /// The classes of samples where nothing else is asked: each in turn.
  func classesInTurn(_ samples: Range<Int>) -> Condition {
    classCount.map { count in .classes(samples.map { $0 % count }) } ?? .none
  }
}
