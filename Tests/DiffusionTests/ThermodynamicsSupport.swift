import Diffusion
import Platform

/// ½N(m, s²) + ½N(−m, s²) on the line, its quantities by the trapezoidal rule, which for such functions is exact to rounding.
struct TwoPoints {
  let m: Double
  let s²: Double

  func variance(_ ᾱ: Double) -> Double { ᾱ * s² + 1 - ᾱ }

  /// E_{q_t} f(x).
  func mean(_ ᾱ: Double, _ f: (Double) -> Double) -> Double {
    let (v, centre) = (variance(ᾱ), ᾱ.squareRoot() * m)
    let (width, n) = (centre + 13 * v.squareRoot(), 1500)
    let h = 2 * width / Double(n)
    return (0...n).reduce(0) { sum, i in
      let x = -width + h * Double(i)
      return sum + h * density(x, ᾱ) * f(x)
    }
  }

  func density(_ x: Double, _ ᾱ: Double) -> Double {
    let (v, centre) = (variance(ᾱ), ᾱ.squareRoot() * m)
    let bump = { (c: Double) in exp(-(x - c) * (x - c) / (2 * v)) / (2 * .pi * v).squareRoot() }
    return 0.5 * (bump(centre) + bump(-centre))
  }

  /// P(+ | x_t).
  func plus(_ x: Double, _ ᾱ: Double) -> Double { 1 / (1 + exp(-2 * ᾱ.squareRoot() * m * x / variance(ᾱ))) }

  /// E[x_0 | x_t, the point ±m].
  private func centre(_ x: Double, _ ᾱ: Double, _ sign: Double) -> Double {
    sign * m + ᾱ.squareRoot() * s² / variance(ᾱ) * (x - sign * ᾱ.squareRoot() * m)
  }

  func score(_ x: Double, _ ᾱ: Double) -> Double {
    let (v, p, centre) = (variance(ᾱ), plus(x, ᾱ), ᾱ.squareRoot() * m)
    return (-(x - centre) * p - (x + centre) * (1 - p)) / v
  }

  func entropy(_ ᾱ: Double) -> Double { -mean(ᾱ) { log(max(density($0, ᾱ), 1e-300)) } }
  func fisher(_ ᾱ: Double) -> Double { mean(ᾱ) { score($0, ᾱ) * score($0, ᾱ) } }
  /// E Var(x_0 | x_t): within the points and between them.
  func mmse(_ ᾱ: Double) -> Double {
    mean(ᾱ) { x in
      let (p, apart) = (plus(x, ᾱ), centre(x, ᾱ, 1) - centre(x, ᾱ, -1))
      return s² * (1 - ᾱ) / variance(ᾱ) + p * (1 - p) * apart * apart
    }
  }
  func divergence(_ ᾱ: Double) -> Double {
    -entropy(ᾱ) + 0.5 * (log(2 * .pi) + ᾱ * secondMoment + 1 - ᾱ)
  }

  var secondMoment: Double { m * m + s² }

  var mixture: GaussianMixture {
    get throws {
      try GaussianMixture([
        .init(mean: [m], covariance: .isotropic(s²), label: 1), .init(mean: [-m], covariance: .isotropic(s²), label: 0),
      ])
    }
  }
}

/// N(m, diag λ), whose quantities are closed forms.
struct DiagonalGaussian {
  let m: [Double]
  let λ: [Double]

  func v(_ ᾱ: Double) -> [Double] { λ.map { ᾱ * $0 + 1 - ᾱ } }
  var secondMoment: Double { zip(m, λ).reduce(0) { $0 + $1.0 * $1.0 + $1.1 } }
  /// ½ Σ ln 2πe v_i.
  func entropy(_ ᾱ: Double) -> Double { v(ᾱ).reduce(0) { $0 + 0.5 * log(2 * .pi * M_E * $1) } }
  /// ½ Σ ln(1 + γ λ_i).
  func information(_ ᾱ: Double) -> Double { λ.reduce(0) { $0 + 0.5 * log1p(ᾱ / (1 - ᾱ) * $1) } }
  /// ½ Σ (v_i + ᾱ m_i² − 1 − ln v_i).
  func divergence(_ ᾱ: Double) -> Double {
    zip(v(ᾱ), m).reduce(0) { $0 + 0.5 * ($1.0 + ᾱ * $1.1 * $1.1 - 1 - log($1.0)) }
  }
  /// Σ 1/v_i.
  func fisher(_ ᾱ: Double) -> Double { v(ᾱ).reduce(0) { $0 + 1 / $1 } }
  /// Σ γ λ_i/(1 + γ λ_i).
  func εError(_ ᾱ: Double) -> Double { λ.reduce(0) { $0 + ᾱ * $1 / (ᾱ * $1 + 1 - ᾱ) } }
}

/// Expectations over N(0, 1) of polynomials up to degree five, exactly: three nodes of Gauss and Hermite.
let hermite: [(z: Double, weight: Double)] = [(-3.0.squareRoot(), 1 / 6), (0, 2 / 3), (3.0.squareRoot(), 1 / 6)]

/// Symmetric positive definite matrices, plainly: A = L Lᵀ.
struct Cholesky {
  let L: [[Double]]

  init(_ a: [[Double]]) {
    var L = a.map { $0.map { _ in 0.0 } }
    for i in a.indices {
      for j in 0...i {
        let sum = a[i][j] - (0..<j).reduce(0) { $0 + L[i][$1] * L[j][$1] }
        L[i][j] = i == j ? sum.squareRoot() : sum / L[j][j]
      }
    }
    self.L = L
  }

  var logDeterminant: Double { L.indices.reduce(0) { $0 + 2 * log(L[$1][$1]) } }
  /// L⁻¹ b.
  func half(_ b: [Double]) -> [Double] {
    var y: [Double] = []
    for i in b.indices { y.append((b[i] - y.indices.reduce(0) { $0 + L[i][$1] * y[$1] }) / L[i][i]) }
    return y
  }
  /// A⁻¹ b.
  func solve(_ b: [Double]) -> [Double] {
    var x = half(b)
    for i in x.indices.reversed() {
      x[i] = (x[i] - (i + 1..<x.count).reduce(0) { $0 + L[$1][i] * x[$1] }) / L[i][i]
    }
    return x
  }
  /// L z.
  func times(_ z: [Double]) -> [Double] { z.indices.map { i in (0...i).reduce(0) { $0 + L[i][$1] * z[$1] } } }
}

extension VariationalBound {
  /// L of each sample in its KL form, in nats of the whole sample, with one noise for each t.
  func bounds(_ x0: Images, denoiser: some Denoiser, noise: CounterNoise) throws -> [Double] {
    var bounds = prior(x0)
    for t in process.schedule.timesteps {
      let ε = noise.stepNoise(leaving: t, shape: x0.shape)
      let all = [Timestep](repeating: t, count: x0.shape.count)
      let output = try denoiser.predict(ForwardProcess(process.schedule).noised(x0, at: t, epsilon: ε), at: all)
      for (n, term) in terms(x0, epsilon: ε, output: output, at: all).enumerated() { bounds[n] += term.nats }
    }
    return bounds.map { $0 * Double(x0.shape.dimension) }
  }
}
