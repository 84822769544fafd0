import Diffusion

/// Paints what a picture hides: each step of another sampler, after which the known pixels are put back at the level that the chain is at.
///
/// What is painted knows the known pixels only as they were a step ago, so borders may not fit; RePaint goes up again and repeats steps
/// until they do (Lugmayr et al. 2022, algorithm 1).
public struct Inpainting<Base: Sampler>: Sampler {
  /// How often, and how far, a chain goes back up.
  public struct Jumps: Sendable, Equatable {
    /// r: how often each stretch is walked.
    public let repeats: Int
    /// j: levels in a stretch.
    public let length: Int

    /// - Parameters:
    ///   - repeats: r, at least 1; 1 never goes back.
    ///   - length: j, at least 1.
    public init(repeats: Int, length: Int) {
      precondition(repeats > 0 && length > 0, "\(repeats) walks of stretches of \(length) levels")
      self.repeats = repeats
      self.length = length
    }
  }

  private var base: Base
  /// x_0 of the known pixels, [1, C, H, W].
  public let known: Images
  /// For each scalar of a picture whether it is to be painted.
  public let isHidden: [Bool]
  /// RePaint's; nil for none.
  public let jumps: Jumps?
  /// The x̂_0 last seen, which a jump does not change.
  private var x0: Images?

  /// - Parameters:
  ///   - base: a sampler without memory, where there are jumps.
  ///   - jumps: nil for none.
  public init(_ base: Base, known: Images, isHidden: [Bool], jumps: Jumps? = nil) {
    precondition(known.shape.count == 1, "one picture, not \(known.shape)")
    precondition(isHidden.count == known.shape.dimension, "a mask of \(isHidden.count) for \(known.shape)")
    self.base = base
    self.known = known
    self.isHidden = isHidden
    self.jumps = jumps
  }

  /// Down, and at every j-th level, counted from the data's end, up by j levels r − 1 times.
  public func transitions(_ timesteps: [Timestep]) -> [Transition] {
    let down = base.transitions(timesteps)
    guard let jumps else { return down }
    let j = jumps.length
    var left: [Int: Int] = [:]
    for place in stride(from: timesteps.count - 1, through: j, by: -j) { left[place] = jumps.repeats - 1 }
    var all: [Transition] = []
    var place = 0
    while place < timesteps.count {
      if let jump = left[place], jump > 0 {
        left[place] = jump - 1
        all.append(Transition(from: timesteps[place], to: timesteps[place - j]))
        place -= j
      } else {
        all.append(down[place])
        place += 1
      }
    }
    return all
  }

  /// Down: a step of the base, then the known pixels at level s. Up, from t to s > t: the noise of the forward process.
  public mutating func step(
    _ xt: Images, _ context: inout StepContext<some Denoiser, some NoiseSource>
  ) throws -> StepResult {
    let (t, s) = (context.transition.from, context.transition.to)
    if s > t {
      // x_s = √(ᾱ_s/ᾱ_t) x_t + √(1 − ᾱ_s/ᾱ_t) z
      let (α, β) = context.schedule.transition(from: t, to: s)
      let x = α.squareRoot() * xt + β.squareRoot() * (try context.drawNoise(like: xt))
      return StepResult(x: x, x0: x0 ?? xt)
    }
    let painted = try base.step(xt, &context)
    var there = known.repeated(xt.shape.count)
    let x̂0 = blended(painted.x0, there)
    x0 = x̂0
    // x_s = m ⊙ x_s + (1 − m) ⊙ (√ᾱ_s x_0 + √(1−ᾱ_s) z)
    if s > .data {
      there = ForwardProcess(context.schedule).noised(there, at: s, epsilon: try context.drawNoise(like: xt))
    }
    return StepResult(x: blended(painted.x, there), x0: x̂0, decoderLogVariance: painted.decoderLogVariance)
  }

  /// Painted where the mask hides, and elsewhere what is known, to the last bit.
  private func blended(_ painted: Images, _ known: Images) -> Images {
    let d = isHidden.count
    return Images(
      shape: painted.shape,
      scalars: painted.scalars.indices.map { isHidden[$0 % d] ? painted.scalars[$0] : known.scalars[$0] })
  }
}

/// Noise with an address by how often it was asked: a chain that visits a level twice gets other noise the second time.
struct VisitNoise: NoiseSource {
  private let counted: CounterNoise
  private var drawn = 0

  init(_ counted: CounterNoise) { self.counted = counted }

  func initialNoise(shape: Images.Shape) -> Images { counted.initialNoise(shape: shape) }

  mutating func stepNoise(leaving t: Timestep, shape: Images.Shape) -> Images {
    drawn += 1
    return counted.stepNoise(leaving: Timestep(drawn), shape: shape)
  }
}
