/// A denoiser drawn towards its condition, or away from a weaker denoiser.
///
/// Bayes' rule for scores, ∇ ln p(x_t | c) = ∇ ln p(x_t) + ∇ ln p(c | x_t), and ε = −√(1−ᾱ_t) ∇ ln p(x_t) give classifier guidance,
/// ε̂ = ε_∅ − w √(1−ᾱ_t) ∇ ln p(c | x_t) (Dhariwal & Nichol 2021). With the classifier that the two predictions themselves imply,
/// ε_c − ε_∅ = −√(1−ᾱ_t) ∇ ln p(c | x_t), it is classifier-free (Ho & Salimans 2022, eq. 6):
///
///     ε̂ = ε_∅ + w (ε_c − ε_∅)
///
/// The rule holds for whatever the network predicts. At fixed x_t each of ε, x_0, v and μ̃ is an affine function of each other,
/// a x_t + b · output, and ε̂ = (1 − w) ε_∅ + w ε_c is a sum whose weights add up to 1, which affine functions leave alone. A learned
/// variance is the conditional prediction's.
///
/// What is drawn so is *not* p(x_0 | c)^w p(x_0)^(1−w): the guided score is that density's only at t = 0, since noising does not
/// commute with powers.
public struct Guided<D: Denoiser>: Denoiser {
  /// What is guided: it predicts both ε_c and, unless there is a weaker one, ε_∅.
  public let denoiser: D
  /// A denoiser that errs the same way, only more: its prediction, under the same condition, takes the place of ε_∅ (autoguidance,
  /// Karras et al. 2024). nil for ε_∅ itself.
  public let weaker: (any Denoiser)?
  /// w, φ, and at which levels.
  public let guidance: Guidance
  /// Says which σ̄ a t has, for the interval.
  public let schedule: NoiseSchedule

  /// - Parameter weaker: in place of ε_∅; nil for ε_∅ itself, which takes a denoiser that was trained without classes too.
  public init(
    _ denoiser: D, by guidance: Guidance, schedule: NoiseSchedule, weaker: (any Denoiser)? = nil
  ) {
    self.denoiser = denoiser
    self.guidance = guidance
    self.schedule = schedule
    self.weaker = weaker
  }

  /// The guided prediction. Both predictions of all samples are one call of the denoiser; a sample that guidance leaves alone costs one.
  ///
  /// - Throws: `GuidanceError` where the condition names no classes, so that there is nothing to drop.
  public func predict(_ xt: Images, at t: [Timestep], given condition: Condition) throws -> Images {
    let guided = try t.indices.filter { try isGuided(sample: $0, at: t[$0], given: condition) }
    guard !guided.isEmpty else { return try denoiser.predict(xt, at: t, given: condition) }

    let all = guided.count == t.count
    let (xGuided, tGuided) = (all ? xt : Images(joining: guided.map { xt[sample: $0] }), guided.map { t[$0] })
    let given = all ? condition : Condition(joining: guided.map { condition[$0..<$0 + 1] })
    if let weaker {
      return combined(
        try denoiser.predict(xt, at: t, given: condition), try weaker.predict(xGuided, at: tGuided, given: given),
        guided: guided, channels: xt.shape.channels)
    }
    let both = try denoiser.predict(
      Images(joining: [xt, xGuided]), at: t + tGuided, given: Condition(joining: [condition, given.withoutClasses]))
    return combined(
      both.samples(0..<t.count), both.samples(t.count..<both.shape.count), guided: guided, channels: xt.shape.channels)
  }

  private func isGuided(sample n: Int, at t: Timestep, given condition: Condition) throws(GuidanceError) -> Bool {
    guard guidance.scale != 1, guidance.interval.contains(schedule.level(t).σ̄) else { return false }
    if weaker != nil { return true }
    guard let classes = condition.classes else { throw .nothingToDrop }
    // A sample of any class is ε_∅ already.
    return classes[n] != nil
  }

  /// The strong predictions of all samples, drawn away from the weak ones of some. Each sample by itself, whatever its batch.
  private func combined(_ strong: Images, _ weak: Images, guided: [Int], channels: Int) -> Images {
    // All samples at once, also on a device, where each is treated alike.
    if guided.count == strong.shape.count, guidance.rescale == 0, strong.shape.channels == channels {
      return weak + guidance.scale * (strong - weak)
    }
    var scalars = strong.scalars
    for (place, n) in guided.enumerated() {
      let (c, variance) = halves(strong[sample: n], channels: channels)
      let (none, _) = halves(weak[sample: place], channels: channels)
      // ε̂ = ε_∅ + w (ε_c − ε_∅)
      var ε̂ = none + guidance.scale * (c - none)
      if guidance.rescale > 0 { ε̂ = rescaled(ε̂, as: c) }
      scalars.replaceSubrange(strong.range(ofSample: n), with: ε̂.scalars + variance)
    }
    return Images(shape: strong.shape, scalars: scalars)
  }

  /// One sample's prediction, and what else its output holds: the variance's channels where they are learned.
  private func halves(_ output: Images, channels: Int) -> (Images, [Float]) {
    var shape = output.shape
    shape.channels = channels
    return (
      Images(shape: shape, scalars: Array(output.scalars.prefix(shape.scalarCount))),
      Array(output.scalars.dropFirst(shape.scalarCount))
    )
  }

  /// One sample's ε̂ with some of the spread of ε_c (Lin et al. 2023, eqs. 15 and 16): a large w makes it too contrasty. It acts on the
  /// network's output, as in diffusers; unlike guidance itself, its effect depends on what that stands for.
  private func rescaled(_ guided: Images, as conditional: Images) -> Images {
    let (σ_c, σ_g) = (standardDeviation(conditional), standardDeviation(guided))
    guard σ_g > 0 else { return guided }
    // ε̂ ← φ (σ_c/σ_ε̂) ε̂ + (1 − φ) ε̂
    return (guidance.rescale * σ_c / σ_g + 1 - guidance.rescale) * guided
  }

  private func standardDeviation(_ sample: Images) -> Double {
    let count = Double(sample.scalars.count)
    let mean = sample.scalars.reduce(0.0) { $0 + Double($1) } / count
    let squares = sample.scalars.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    // The divisor, n or n − 1, cancels.
    return (squares / count).squareRoot()
  }
}
