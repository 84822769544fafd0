import Platform

/// p(x_0 | x_1) for 8-bit pixels: the mass that N(μ, σ²) puts on each of 256 bins of width 2/255, the two end bins open
/// (Ho et al. 2020, eq. 13). In Double exact: no tanh in place of Φ, no floor under the logarithm.
public enum DiscretizedDecoder {
  /// The pixel's place in [−1, 1]: k/127.5 − 1.
  public static func value(ofPixel k: Int) -> Double { Double(k) / 127.5 - 1 }

  /// The pixel nearest to a value: its inverse, for any value within half a bin; 0 for NaN.
  public static func pixel(nearest value: Double) -> Int {
    value.isNaN ? 0 : Int(min(max((value + 1) * 127.5, 0), 255).rounded())
  }

  /// The pixel's place nearest to a value.
  static func value(nearest value: Double) -> Double { self.value(ofPixel: pixel(nearest: value)) }

  /// ln p(x_0), element by element, for x_0 on the 256 values: the log mass on the pixel's bin, in nats.
  package static func logLikelihood<V: ElementarySpace>(_ x0: V, mean μ: V, logVariance logσ²: V) -> V {
    let inverse = V.exp(-0.5 * logσ²)
    // δ₋ = −∞ at x = −1, δ₊ = +∞ at x = 1, else x ∓ 1/255.
    let low = (x0 - 1 / 255 - μ) * inverse
    let high = (x0 + 1 / 255 - μ) * inverse
    return .select(
      V.step(-x0 - 0.999), V.logNormalCDF(high),
      else: .select(V.step(x0 - 0.999), V.logNormalCDF(-low), else: V.logNormalMass(from: low, to: high)))
  }

  /// ln p(k): the log mass on pixel k's bin, in nats.
  public static func logLikelihood(pixel k: Int, mean μ: Double, logSigma logσ: Double) -> Double {
    precondition((0...255).contains(k), "pixel \(k) lies outside 0…255")
    return logLikelihood(value(ofPixel: k), mean: μ, logVariance: 2 * logσ)
  }

  /// How the last step turns N(μ, σ²) into a pixel.
  public enum PixelChoice: String, Sendable, CaseIterable {
    /// The bin with the most mass.
    case mostProbable = "most_probable"
    /// The mean of the 256 bins' values, rounded.
    case expectedValue = "expected_value"
    /// A draw from the 256 bins.
    case sample
  }

  /// The pixel chosen from N(μ, σ²); some pixel where μ or σ is NaN.
  ///
  /// - Parameter u: uniform in [0, 1); only `.sample` uses it.
  public static func pixel(mean μ: Double, logSigma logσ: Double, choosing choice: PixelChoice, u: Double = 0) -> Int {
    switch choice {
    case .mostProbable:
      // An inner bin's mass falls with its distance from μ, so the nearest inner bin wins, unless an open end bin holds more.
      let nearest = min(max(pixel(nearest: μ), 1), 254)
      return [0, nearest, 255].max {
        logLikelihood(pixel: $0, mean: μ, logSigma: logσ) < logLikelihood(pixel: $1, mean: μ, logSigma: logσ)
      } ?? nearest
    case .expectedValue:
      let expected = expectedPixel(mean: μ, logSigma: logσ)
      return expected.isNaN ? 0 : Int(expected.rounded())
    case .sample:
      // The least k with P(pixel ≤ k) > u: bisection on the cumulative mass Φ((x_k + 1/255 − μ)/σ).
      let inverse = exp(-logσ)
      var (low, high) = (0, 255)
      while low < high {
        let k = (low + high) / 2
        if exp(NormalDistribution.logCDF((value(ofPixel: k) + 1 / 255 - μ) * inverse)) > u {
          high = k
        } else {
          low = k + 1
        }
      }
      return low
    }
  }

  /// Σ k p(k) = Σ_{k < 255} P(pixel > k).
  private static func expectedPixel(mean μ: Double, logSigma logσ: Double) -> Double {
    let inverse = exp(-logσ)
    return (0..<255).reduce(0) {
      $0 + exp(NormalDistribution.logCDF((μ - value(ofPixel: $1) - 1 / 255) * inverse))
    }
  }

  /// 8-bit pixels of a batch, [N, C, H, W] as `mean`.
  ///
  /// - Parameters:
  ///   - mean: what the last step returned: μ_θ(x_1, 1).
  ///   - logVariance: `ReverseProcess.logVariance`, or `.uniform(fixedLogVariance)`, at the last step's t.
  ///   - uniforms: one number in [0, 1) a scalar for `.sample`, from `CounterNoise.uniforms` for instance; ignored otherwise.
  public static func pixels(
    mean: Images, logVariance: LogVariance, choosing choice: PixelChoice, uniforms: [Float] = []
  ) -> [UInt8] {
    precondition(
      choice != .sample || uniforms.count == mean.scalars.count,
      "\(uniforms.count) uniform numbers to draw \(mean.scalars.count) pixels")
    return mean.scalars.indices.map { i in
      let logσ: Double
      switch logVariance {
      case .uniform(let log): logσ = log / 2
      case .each(let logs): logσ = Double(logs.scalars[i]) / 2
      }
      return UInt8(
        pixel(
          mean: Double(mean.scalars[i]), logSigma: logσ, choosing: choice,
          u: choice == .sample ? Double(uniforms[i]) : 0))
    }
  }
}
