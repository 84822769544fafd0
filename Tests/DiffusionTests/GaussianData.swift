import Diffusion
import Platform

/// Data from N(m, C) in the plane, for which the best denoiser is known: E[x_0 | x_t] = m + √ᾱ C (ᾱ C + (1−ᾱ) I)⁻¹ (x_t − √ᾱ m).
struct GaussianData: Denoiser {
  let schedule: NoiseSchedule
  let m = (0.3, -0.2)
  /// C = [[a, b], [b, d]].
  let a = 0.5, b = 0.2, d = 0.3

  func predict(_ xt: Images, at t: [Timestep], given condition: Condition) -> Images {
    var ε = xt.scalars
    for n in 0..<xt.shape.count {
      let level = schedule.level(t[n])
      let (signal, noise) = (level.sqrtᾱ, level.sqrtOneMinusᾱ)
      // M = ᾱ C + (1−ᾱ) I
      let (ma, mb, md) = (signal * signal * a + noise * noise, signal * signal * b, signal * signal * d + noise * noise)
      let determinant = ma * md - mb * mb
      let x = (Double(xt.scalars[2 * n]) - signal * m.0, Double(xt.scalars[2 * n + 1]) - signal * m.1)
      // ε = √(1−ᾱ) M⁻¹ (x_t − √ᾱ m)
      ε[2 * n] = Float(noise * (md * x.0 - mb * x.1) / determinant)
      ε[2 * n + 1] = Float(noise * (ma * x.1 - mb * x.0) / determinant)
    }
    return Images(shape: xt.shape, scalars: ε)
  }

  /// The largest error of a mean and covariance.
  func error(mean: (Double, Double), covariance: (Double, Double, Double)) -> Double {
    [mean.0 - m.0, mean.1 - m.1, covariance.0 - a, covariance.1 - b, covariance.2 - d].map { abs($0) }.max() ?? 0
  }
}

/// One-dimensional Gaussian data and its best denoiser with its best variance: [ε̂, ln σ²].
struct ScalarGaussianData: Denoiser {
  let schedule: NoiseSchedule
  let mean = 0.2
  let variance = 0.25

  func predict(_ xt: Images, at t: [Timestep], given condition: Condition) -> Images {
    var shape = xt.shape
    shape.channels *= 2
    let scalars = (0..<xt.shape.count).flatMap { n -> [Float] in
      let (t, ᾱ) = (t[n], schedule.ᾱ[t[n]])
      let total = ᾱ * variance + 1 - ᾱ
      let ε = xt[sample: n].map { Float((1 - ᾱ).squareRoot() * (Double($0) - ᾱ.squareRoot() * mean) / total) }
      // Var(x_{t−1} | x_t) = β̃ + c² Var(x_0 | x_t)
      let c = schedule.posterior(t).x0Coefficient
      let spread = schedule.posteriorVariance(t) + c * c * variance * (1 - ᾱ) / total
      return ε.scalars + [Float](repeating: Float(log(spread)), count: xt.shape.dimension)
    }
    return Images(shape: shape, scalars: scalars)
  }

  /// ½ ln(2πe s²), and KL(q(x_T) ‖ N(0, 1)): what the bound is at best.
  var entropyAndPriorGap: Double {
    let ᾱ = schedule.ᾱ[schedule.last]
    return 0.5 * log(2 * Double.pi * M_E * variance)
      + gaussianKL(
        mean1: ᾱ.squareRoot() * mean, logVariance1: log(ᾱ * variance + 1 - ᾱ), mean2: 0, logVariance2: 0)
  }
}

extension GaussianData {
  /// The probability-flow ODE's way from one level to another: along each axis of C the deviation from the mean keeps its rank.
  func flow(_ x: (Double, Double), from: NoiseLevel<Double>, to: NoiseLevel<Double>) -> [Double] {
    // C has eigenvalues (a + d)/2 ± r along (cos φ, sin φ) and (−sin φ, cos φ).
    let r = ((a - d) * (a - d) / 4 + b * b).squareRoot()
    let φ = atan2(b, (a - d) / 2) / 2
    let deviation = (x.0 - from.sqrtᾱ * m.0, x.1 - from.sqrtᾱ * m.1)
    // √(ᾱ_s c + 1 − ᾱ_s)/√(ᾱ_t c + 1 − ᾱ_t)
    let scale = { (c: Double) -> Double in
      let spread = { (l: NoiseLevel<Double>) in l.sqrtᾱ * l.sqrtᾱ * c + l.sqrtOneMinusᾱ * l.sqrtOneMinusᾱ }
      return (spread(to) / spread(from)).squareRoot()
    }
    let u = scale((a + d) / 2 + r) * (cos(φ) * deviation.0 + sin(φ) * deviation.1)
    let v = scale((a + d) / 2 - r) * (cos(φ) * deviation.1 - sin(φ) * deviation.0)
    return [to.sqrtᾱ * m.0 + cos(φ) * u - sin(φ) * v, to.sqrtᾱ * m.1 + sin(φ) * u + cos(φ) * v]
  }
}
