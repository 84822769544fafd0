import Diffusion
import Platform
import TestSupport
import Testing

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

@Suite struct DecoderTests {
  struct Reference: Decodable { let pixel: [Int], mean, log_sigma, log_likelihood: [Double] }
  /// [z, ln Φ(z)] and [pixel, mean, ln σ, ln p], to 250 digits.
  struct Golden: Decodable { let log_cdf, decoder: [[Double]] }

  @Test(.needsShared) func logLikelihoodsMatchReference() throws {
    let reference: Reference = try reference("decoder.json")
    let ours = reference.pixel.indices.map {
      DiscretizedDecoder.logLikelihood(
        pixel: reference.pixel[$0], mean: reference.mean[$0], logSigma: reference.log_sigma[$0])
    }
    expect(maximumRelativeError(ours, reference.log_likelihood), atMost: 1e-9, "decoder.json")
  }

  @Test func logCDFMatchesManyDigits() throws {
    let golden: Golden = try golden("normal.json")
    expect(
      maximumRelativeError(golden.log_cdf.map { NormalDistribution.logCDF($0[0]) }, golden.log_cdf.map { $0[1] }),
      atMost: 1e-13, "Golden/normal.json ln Φ")
  }

  /// Means 50 away from the data, σ from 4e-5 to 20.
  @Test func tailsMatchManyDigits() throws {
    let golden: Golden = try golden("normal.json")
    let ours = golden.decoder.map {
      DiscretizedDecoder.logLikelihood(pixel: Int($0[0]), mean: $0[1], logSigma: $0[2])
    }
    expect(maximumRelativeError(ours, golden.decoder.map { $0[3] }), atMost: 1e-10, "Golden/normal.json decoder")
  }

  @Test(arguments: [-9.0, -6, -4, -2, 0, 1], [-3.0, -1, -0.5, 0.001, 0.7, 1.2])
  func binsSumToOne(_ logσ: Double, _ mean: Double) {
    let sum = logProbabilities(mean: mean, logσ: logσ).reduce(0) { $0 + exp($1) }
    #expect(abs(sum - 1) < 1e-12)
  }

  @Test func everythingIsFinite() {
    for logσ in stride(from: -12.0, through: 4, by: 2) {
      for mean in [-1e3, -1.0, 0, 1, 1e3] {
        #expect(logProbabilities(mean: mean, logσ: logσ).allSatisfy { $0.isFinite && $0 <= 0 })
      }
    }
  }

  /// Against the definitions, by brute force over the 256 bins.
  @Test(arguments: [-7.0, -4, -1, 0.5], [-1.3, -0.99, -0.2, 0.0, 0.503, 1.0])
  func pixelChoicesFollowTheirDefinitions(_ logσ: Double, _ mean: Double) throws {
    let p = logProbabilities(mean: mean, logσ: logσ).map { exp($0) }
    let choose = { DiscretizedDecoder.pixel(mean: mean, logSigma: logσ, choosing: $0, u: $1) }

    let most = try #require(p.max())
    #expect(p[choose(.mostProbable, 0)] >= most * (1 - 1e-12))

    let expected = p.enumerated().reduce(0) { $0 + Double($1.offset) * $1.element }
    #expect(abs(Double(choose(.expectedValue, 0)) - expected) <= 0.5 + 1e-9)

    for u in [0, 0.1, 0.47, 0.9, 0.999] {
      var cumulative = 0.0
      let drawn = p.firstIndex {
        cumulative += $0
        return cumulative > u
      }
      #expect(choose(.sample, u) == drawn)
    }
  }

  /// NaN and infinity are pixels too: what cannot be right is no reason to stop.
  @Test(arguments: [Double.nan, .infinity, -.infinity], [Double.nan, -4, .infinity, -.infinity])
  func everyNumberIsAPixel(_ mean: Double, _ logσ: Double) {
    #expect(DiscretizedDecoder.pixel(nearest: mean) == (mean > 0 ? 255 : 0))
    for choice in DiscretizedDecoder.PixelChoice.allCases {
      #expect((0...255).contains(DiscretizedDecoder.pixel(mean: mean, logSigma: logσ, choosing: choice, u: 0.5)))
    }
  }

  @Test func pixelsOfABatch() {
    let mean = Images(shape: .init(1, 1, 1, 3), scalars: [-1, 0.0039, 2])
    let pixels = DiscretizedDecoder.pixels(mean: mean, logVariance: .uniform(-12), choosing: .mostProbable)
    #expect(pixels == [0, 128, 255])

    // Drawn pixels have the decoder's mean: σ = 0.1 is 12.75 pixels.
    let grey = Images(repeating: 0, shape: .init(2, 1, 100, 100))
    let uniforms = CounterNoise(seed: 1, stream: .decoder).uniforms(shape: grey.shape)
    let drawn = DiscretizedDecoder.pixels(
      mean: grey, logVariance: .uniform(2 * log(0.1)), choosing: .sample, uniforms: uniforms)
    let (mean127, variance) = moments(drawn.map { Double($0) })
    #expect(abs(mean127 - 127.5) < 5 * 12.75 / 20_000.0.squareRoot())
    #expect(abs(variance - 12.75 * 12.75) < 5 * 12.75 * 12.75 * (2 / 20_000.0).squareRoot())
    for k in 0...255 { #expect(DiscretizedDecoder.pixel(nearest: DiscretizedDecoder.value(ofPixel: k)) == k) }
  }
}
