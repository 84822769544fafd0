import DDPM
import Diffusion
import Platform
import TestSupport
import Testing

/// Edits with denoisers that are exact: what they should give is known in closed form.
@Suite struct EditingTests {
  private let schedule: NoiseSchedule
  private static let shape = Images.Shape(1, 3, 8, 8)
  /// Independent pixels of N(m, s²).
  private let m = 0.2, s² = 0.3

  init() throws { schedule = try NoiseSchedule() }

  private func process(_ prediction: Prediction = .epsilon) throws -> ReverseProcess {
    try ReverseProcess(schedule: schedule, prediction: prediction, variance: .fixedSmall, limit: .none)
  }

  /// E[x_0 | x_t] of such pixels, in the terms of `prediction`.
  private func denoiser(_ prediction: Prediction = .epsilon) -> DenoiserFunction {
    DenoiserFunction { [schedule, m, s²] xt, t in
      Images(
        joining: t.indices.map { n in
          let (ᾱ, level, x) = (schedule.ᾱ[t[n]], schedule.level(t[n]), xt[sample: n])
          let variance = ᾱ * s² + 1 - ᾱ
          let x0 = x.map { Float(m + ᾱ.squareRoot() * s² / variance * (Double($0) - ᾱ.squareRoot() * m)) }
          return prediction.target(
            x0: x0, epsilon: level.epsilon(x0: x0, xt: x), xt: x, level: level, posterior: schedule.posterior(t[n]))
        })
    }
  }

  private func normals(_ shape: Images.Shape, seed: UInt64) -> Images {
    CounterNoise(seed: seed).initialNoise(shape: shape)
  }

  private func dot(_ a: Images, _ b: Images) -> Double {
    zip(a.scalars, b.scalars).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }

  struct Operator: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let A: any LinearOperator
    let noise: Double
  }

  static let operators = [
    Operator(testDescription: "block means", A: BlockMean(scale: 2), noise: 0),
    Operator(testDescription: "noisy block means", A: BlockMean(scale: 4), noise: 0.1),
    Operator(testDescription: "grey", A: Greying(), noise: 0),
    Operator(testDescription: "blur", A: GaussianBlur(sigma: 1.2, height: 8, width: 8), noise: 0.05),
  ]

  /// ⟨A x, y⟩ = ⟨x, Aᵀ y⟩.
  @Test(arguments: operators) func adjointsAreAdjoint(_ test: Operator) {
    let x = normals(.init(2, 3, 8, 8), seed: 1)
    let y = normals(test.A.apply(x).shape, seed: 2)
    #expect(abs(dot(test.A.apply(x), y) - dot(x, test.A.adjoint(y))) < 1e-5 * (dot(x, x) * dot(y, y)).squareRoot())
  }

  /// r² Aᵀ (r² A Aᵀ + σ² I)⁻¹: multiplied back, it is r² Aᵀ.
  @Test(arguments: operators) func gainsInvert(_ test: Operator) {
    let (r², σ²) = (0.4, 0.02)
    let z = normals(test.A.apply(normals(Self.shape, seed: 1)).shape, seed: 3)
    // y = (r² A Aᵀ + σ² I) z
    let y = r² * test.A.apply(test.A.adjoint(z)) + σ² * z
    expect(
      relativeL2(test.A.gain(y, spread: r², noise: σ²).doubles, (r² * test.A.adjoint(z)).doubles), atMost: 2e-5, "gain")
  }

  /// The slow and obvious blur: a sum over neighbours, mirrored at the border.
  @Test(arguments: [0.6, 1.2, 3]) func blurIsAConvolution(σ: Double) {
    let (h, w) = (8, 6)
    let x = normals(.init(1, 1, h, w), seed: 4)
    let reach = 5 * Int(σ.rounded(.up))
    let kernel = (-reach...reach).map { exp(-Double($0 * $0) / (2 * σ * σ)) }
    let sum = kernel.reduce(0, +)
    func mirrored(_ i: Int, _ n: Int) -> Int {
      let place = ((i % (2 * n)) + 2 * n) % (2 * n)
      return place < n ? place : 2 * n - 1 - place
    }
    let expected = (0..<h * w).map { i in
      var value = 0.0
      for a in -reach...reach {
        for b in -reach...reach {
          let (row, column) = (mirrored(i / w + a, h), mirrored(i % w + b, w))
          value += kernel[a + reach] * kernel[b + reach] / (sum * sum) * Double(x.scalars[row * w + column])
        }
      }
      return value
    }
    let blurred = GaussianBlur(sigma: σ, height: h, width: w).apply(x)
    expect(relativeL2(blurred.doubles, expected), atMost: 1e-5, "blur")
  }

  /// For Gaussian data all of it is exact: from x_T = 0, the mean of p(x_T | y) but for √ᾱ_T, the probability flow ends at the mean of
  /// p(x_0 | y), m + s² Aᵀ (s² A Aᵀ + σ² I)⁻¹ (y − A m).
  @Test(arguments: operators, [Prediction.epsilon, .velocity])
  func theFlowEndsAtThePosteriorMean(_ test: Operator, _ prediction: Prediction) throws {
    let x0 = Float(s².squareRoot()) * normals(Self.shape, seed: 5)
    let y = test.A.apply(x0) + test.noise * normals(test.A.apply(x0).shape, seed: 6)
    let measurement = LinearMeasurement(test.A, y: y, noise: test.noise)
    let editing = try Editing(process(prediction), denoiser: denoiser(prediction), steps: 400)
    let found = try editing.restored(
      from: measurement, shape: Self.shape, dataVariance: s², start: Images(repeating: 0, shape: Self.shape))
    let mean = Images(repeating: Float(m), shape: Self.shape)
    let expected = mean + test.A.gain(y - test.A.apply(mean), spread: s², noise: test.noise * test.noise)
    expect(relativeL2(found.doubles, expected.doubles), atMost: 5e-3, test.testDescription)
    if test.noise == 0 { #expect(measurement.residuals(of: found)[0] < 1e-3) }
  }

  /// Drawn with noise, the samples have the mean and the variance of p(x_0 | y).
  @Test func drawsHaveThePosteriorsSpread() throws {
    let A = BlockMean(scale: 2)
    let y = A.apply(normals(.init(1, 1, 4, 4), seed: 7))
    let editing = try Editing(process(), denoiser: denoiser(), steps: 100)
    let count = 200
    let found = try editing.restored(
      from: LinearMeasurement(A, y: y), shape: .init(1, 1, 4, 4), dataVariance: s², count: count)
    // Of four pixels whose mean is known, each has the variance s² (1 − 1/4) left.
    let squares = (0..<count).map { n in
      zip(found.scalars[found.range(ofSample: n)], SuperResolution(scale: 2).enlarged(y).scalars).reduce(0.0) {
        $0 + pow(Double($1.0 - $1.1), 2) / 16
      }
    }
    let moments = Moments(squares)
    #expect(abs(moments.mean - 0.75 * s²) < 4 * moments.standardError + 0.01 * s², "\(moments.mean)")
  }

  /// A learned variance passes through.
  @Test func theVarianceIsTheNetworks() throws {
    let process = try ReverseProcess(schedule: schedule, variance: .learned, limit: .none)
    let known = denoiser()
    let learned = DenoiserFunction { xt, t in
      let ε = try known.predict(xt, at: t)
      return Images(
        shape: .init(xt.shape.count, 6, 8, 8),
        scalars: (0..<xt.shape.count).flatMap {
          ε.scalars[ε.range(ofSample: $0)] + [Float](repeating: Float($0), count: xt.shape.dimension)
        })
    }
    let y = Images(repeating: 0, shape: .init(1, 3, 4, 4))
    let measured = MeasuredDenoiser(
      learned, process: process, measurement: LinearMeasurement(BlockMean(scale: 2), y: y), dataVariance: s²)
    let output = try measured.predict(normals(.init(2, 3, 8, 8), seed: 8), at: [10, 500])
    let (prediction, variance) = output.splitChannels()
    #expect(variance.scalars == (0..<2).flatMap { [Float](repeating: Float($0), count: 192) })
    let plain = try MeasuredDenoiser(
      known, process: self.process(), measurement: measured.measurement, dataVariance: s²
    ).predict(normals(.init(2, 3, 8, 8), seed: 8), at: [10, 500])
    #expect(prediction == plain)
  }

  /// Of SDEdit: as little strength as there is leaves a picture all but alone, and a count changes no sample.
  @Test func strengthIsHowMuchIsForgotten() throws {
    let editing = try Editing(process(), denoiser: denoiser(), steps: 50, seed: 2)
    let x0 = Float(s².squareRoot()) * normals(Self.shape, seed: 9)
    var last = 0.0
    for strength in [0.001, 0.2, 0.5, 1] {
      let found = try editing.redrawn(x0, strength: strength, count: 3)
      let distance = relativeL2(found[sample: 0].doubles, x0.doubles)
      #expect(distance > last, "\(strength)")
      #expect(found[sample: 1] != found[sample: 0])
      last = distance
      #expect(try editing.redrawn(x0, strength: strength) == found[sample: 0])
    }
    #expect(try relativeL2(editing.redrawn(x0, strength: 0.001).doubles, x0.doubles) < 0.05)
    #expect(last > 1)
  }

  /// There and back under one condition is the picture; under another mean, the picture moved by the difference of the means.
  @Test func inversionCarriesWhatTheConditionDoesNotSay() throws {
    let (schedule, s²) = (schedule, s²)
    let classes = DenoiserFunction { xt, t, condition in
      Images(
        joining: t.indices.map { n in
          let m = condition.classes?[n] == 1 ? 0.5 : -0.25
          let ᾱ = schedule.ᾱ[t[n]]
          return xt[sample: n].map {
            Float((1 - ᾱ).squareRoot() * (Double($0) - ᾱ.squareRoot() * m) / (ᾱ * s² + 1 - ᾱ))
          }
        })
    }
    let editing = try Editing(process(), denoiser: classes, steps: 500)
    let x0 = Float(s².squareRoot()) * normals(Self.shape, seed: 10)
    let same = try editing.carried(x0, from: .classes([0]), to: .classes([0]))
    expect(relativeL2(same.doubles, x0.doubles), atMost: 1e-3, "there and back")
    let moved = try editing.carried(x0, from: .classes([0]), to: .classes([1]))
    expect(relativeL2(moved.doubles, x0.map { $0 + 0.75 }.doubles), atMost: 2e-2, "moved")
  }
}

private func * (c: Float, x: Images) -> Images { Double(c) * x }

extension Images {
  var doubles: [Double] { scalars.map(Double.init) }
}
