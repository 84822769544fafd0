import Diffusion

/// y = A x_0 + σ n, n ~ N(0, I): what is known of a picture.
public struct LinearMeasurement: Sendable {
  /// What was done to the picture.
  public let A: any LinearOperator
  /// y, [1, C′, H′, W′].
  public let y: Images
  /// σ on the scale of [−1, 1]; 0 for a y to be met exactly.
  public let noise: Double

  /// What rounding to 8 bits does to a value: a 255th of [−1, 1], spread evenly.
  public static let roundingNoise = 2.0 / 255 / 12.0.squareRoot()

  /// - Parameters:
  ///   - y: [1, C′, H′, W′].
  ///   - noise: σ, not below 0.
  public init(_ A: any LinearOperator, y: Images, noise: Double = 0) {
    precondition(y.shape.count == 1, "one measurement, not \(y.shape)")
    precondition(noise >= 0, "a measurement noise of \(noise)")
    self.A = A
    self.y = y
    self.noise = noise
  }

  /// E[x_0 | x_t, y] where x_0 | x_t ~ N(x̂_0, r² I).
  ///
  /// Both are Gaussian, so the mean moves by the gain times what x̂_0 fails to explain (Kalman 1960; for diffusion ΠGDM, Song et al. 2023,
  /// eq. 7). For σ = 0 it is the projection onto {x : A x = y}: the null space of A keeps x̂_0, its range gets A⁺ y (DDNM, Wang et al.
  /// 2022, eq. 13; for block means ILVR, Choi et al. 2021).
  ///
  /// - Parameter x0: [N, C, H, W].
  public func posteriorMean(_ x0: Images, spread r²: Double) -> Images {
    // x̂_0 ← x̂_0 + r² Aᵀ (r² A Aᵀ + σ² I)⁻¹ (y − A x̂_0)
    x0 + A.gain(y.repeated(x0.shape.count) - A.apply(x0), spread: r², noise: noise * noise)
  }

  /// √(‖y − A x‖² / dim y) of each x, on the scale of 0…255.
  public func residuals(of x: Images) -> [Double] {
    let difference = y.repeated(x.shape.count) - A.apply(x)
    return (0..<x.shape.count).map { n in
      let squares = difference.scalars[difference.range(ofSample: n)].reduce(0.0) { $0 + Double($1) * Double($1) }
      return 127.5 * (squares / Double(y.shape.dimension)).squareRoot()
    }
  }
}

/// A denoiser that also knows a measurement of x_0: E[x_0 | x_t] becomes E[x_0 | x_t, y], and any sampler draws from p(x_0 | y).
///
/// By Bayes ∇ln p(x_t | y) = (√ᾱ_t E[x_0 | x_t, y] − x_t) / (1 − ᾱ_t). That x_0 | x_t is N(x̂_0, r_t² I) is the approximation: it is exact
/// where the data is N(m, s² I).
public struct MeasuredDenoiser: Denoiser {
  /// What is asked first; its output is read by ``process``.
  public let denoiser: any Denoiser
  /// How the output of `denoiser` is read, and this one's is written. The limit on x̂_0 acts before the measurement.
  public let process: ReverseProcess
  /// What is known of x_0, the same for all samples.
  public let measurement: LinearMeasurement
  /// s², the variance of a pixel of the data.
  public let dataVariance: Double

  /// - Parameter dataVariance: s², positive.
  public init(
    _ denoiser: any Denoiser, process: ReverseProcess, measurement: LinearMeasurement, dataVariance: Double = 1
  ) {
    precondition(dataVariance > 0, "data of variance \(dataVariance)")
    self.denoiser = denoiser
    self.process = process
    self.measurement = measurement
    self.dataVariance = dataVariance
  }

  /// The prediction that goes with E[x_0 | x_t, y]; a learned variance is left as it is.
  public func predict(_ xt: Images, at t: [Timestep], given condition: Condition) throws -> Images {
    let output = try denoiser.predict(xt, at: t, given: condition)
    guard let first = t.first, !t.allSatisfy({ $0 == first }) else {
      return t.first.map { measured(output, xt: xt, at: $0) } ?? output
    }
    return Images(joining: t.indices.map { measured(output[sample: $0], xt: xt[sample: $0], at: t[$0]) })
  }

  private func measured(_ output: Images, xt: Images, at t: Timestep) -> Images {
    let (schedule, ᾱ) = (process.schedule, process.schedule.ᾱ[t])
    // r_t² = s² (1−ᾱ_t) / (ᾱ_t s² + 1−ᾱ_t)
    let r² = dataVariance * (1 - ᾱ) / (ᾱ * dataVariance + 1 - ᾱ)
    let denoised = process.denoised(output, xt: xt, at: t)
    let x0 = measurement.posteriorMean(denoised.x0, spread: r²)
    let level = schedule.level(t)
    let prediction = process.prediction.target(
      x0: x0, epsilon: level.epsilon(x0: x0, xt: xt), xt: xt, level: level, posterior: schedule.posterior(t))
    guard let variance = denoised.variance else { return prediction }
    return Images(
      shape: output.shape,
      scalars: (0..<xt.shape.count).flatMap {
        prediction.scalars[prediction.range(ofSample: $0)] + variance.scalars[variance.range(ofSample: $0)]
      })
  }
}

extension Images {
  /// One sample so many times.
  public func repeated(_ count: Int) -> Images {
    count == 1 ? self : Images(joining: Array(repeating: self, count: count))
  }
}
