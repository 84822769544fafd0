import Diffusion
import Platform
import Testing

/// The numbers that the chapters quote, computed again.
@Suite struct NumbersTests {
  @Test func everyQuotedNumberIsRight() throws {
    for (chapter, numbers) in try Self.quoted() {
      for language in ["en", "zh"] {
        let page = try #require(try Book.chapters(language).first { $0.name.hasPrefix("\(chapter)-") })
        for (text, value) in numbers {
          #expect(page.numbers.contains(text), "\(page.path) does not say \(text)")
          let decimals = text.split(separator: ".").last?.count ?? 0
          let quoted = try #require(Double(text))
          #expect(abs(abs(value) - quoted) <= 0.5001 * pow(10, -Double(decimals)), "\(page.path): \(text) is \(value)")
        }
      }
    }
  }

  private static func quoted() throws -> [(chapter: String, numbers: [(String, Double)])] {
    let linear = try NoiseSchedule(.linear())
    let cosine = try NoiseSchedule(.cosine())
    let short = try NoiseSchedule(.linear(), T: 100)
    let (α, β, ᾱ, snr) = (linear.α, linear.β, linear.ᾱ, linear.snr)
    let β̃ = { linear.posteriorVariance($0) }
    let kl = { gaussianKL(mean1: 0, logVariance1: log($0), mean2: 0, logVariance2: log($1)) }
    let large = try ReverseProcess(schedule: linear, variance: .fixedLarge)
    let small = try ReverseProcess(schedule: linear, variance: .fixedSmall)
    let weight = { (process: ReverseProcess, t: Timestep) in process.boundWeight(at: t) }
    // The mass of a grey pixel and of a black one, seen from its own value.
    let bits = { (k: Int, σ: Double) in
      -DiscretizedDecoder.logLikelihood(pixel: k, mean: DiscretizedDecoder.value(ofPixel: k), logSigma: log(σ)) / log(2)
    }
    let (σ₁, wide) = (β̃(2).squareRoot(), β[1].squareRoot())
    // What a step keeps of the noise in x_t.
    let kept = { (t: Timestep) in α[t].squareRoot() * (1 - ᾱ[t.previous]) / (1 - ᾱ[t]).squareRoot() }
    let noise = { (t: Timestep, z: Double) in (kept(t) + z * β̃(t).squareRoot()) / (1 - ᾱ[t.previous]).squareRoot() }
    let Σβ = short.β.values.reduce(0, +)
    let shortPrior = VariationalBound(try ReverseProcess(schedule: short)).prior(
      Images(repeating: 1, shape: .init(1, 1, 1, 1)))[0]
    let s² = 2 * 0.1 * 784 * log(2)
    let x = { (ε: Double) in ᾱ[1000].squareRoot() * 0.3 + (1 - ᾱ[1000]).squareRoot() * ε }
    return [
      (
        "01",
        [
          ("0.693", 0.5 * log(4)), ("0.318", kl(0.25, 1)), ("0.807", kl(4, 1)), ("0.90", ᾱ[100]),
        ]
      ),
      (
        "02",
        [
          ("0.524", ᾱ[250]), ("0.0786", ᾱ[500]), ("0.00335", ᾱ[750]), ("4.0", ᾱ[1000] * 1e5), ("0.003", ᾱ[750]),
          ("0.847", cosine.ᾱ[250]), ("0.494", cosine.ᾱ[500]), ("0.144", cosine.ᾱ[750]), ("2.4", cosine.ᾱ[1000] * 1e9),
          ("1.005", Σβ), ("0.366", exp(-Σβ)), ("0.364", short.ᾱ[100]), ("0.60", short.sqrtᾱ[100]),
        ]
      ),
      ("03", [("8.71", snr[100]), ("0.0853", snr[500]), ("0.099", (snr[500] / snr[100]).squareRoot())]),
      ("04", [("108.7", s²), ("10.4", s².squareRoot())]),
      (
        "05",
        [
          ("0.226", shortPrior), ("0.326", shortPrior / log(2)), ("0.6364", 1 - short.ᾱ[100]), ("0.3636", short.ᾱ[100]),
          ("2.0", ᾱ[1000] / 2 * 1e5), ("2.9", ᾱ[1000] / 2 / log(2) * 1e5),
        ]
      ),
      (
        "06",
        [
          ("0.545", β[2] / (1 - ᾱ[2])), ("0.147", β[10] / (1 - ᾱ[10])), ("0.020", β[1000] / (1 - ᾱ[1000])),
        ]
      ),
      (
        "07",
        [
          ("0.00013", linear.posterior(1000).x0Coefficient), ("0.98995", linear.posterior(1000).xtCoefficient),
          ("0.545", linear.posterior(2).x0Coefficient), ("0.455", linear.posterior(2).xtCoefficient),
          ("0.455", β̃(2) / β[2]), ("0.982", β̃(100) / β[100]),
        ]
      ),
      ("08", [("0.318", kl(1, 4)), ("0.807", kl(4, 1)), ("0.121", kl(β̃(2), β[2]))]),
      (
        "09",
        [
          ("3.15", β[1000] / linear.sqrtᾱ[1000]), ("0.02", β[1000] / (1 - ᾱ[1000]).squareRoot()),
          ("1.52", (x(-0.7) + 0.7 * β[1000] / linear.sqrtᾱ[1000]) / α[1000].squareRoot()),
          ("0.69", (x(-0.7) + 0.7 * β[1000]) / α[1000].squareRoot()),
          ("0.0019", 1 / snr[10]), ("11.7", 1 / snr[500]), ("0.000019", 0.01 / snr[10]), ("0.117", 0.01 / snr[500]),
          ("0.00013", linear.posterior(1000).x0Coefficient),
        ]
      ),
      (
        "10",
        [
          ("0.273", weight(large, 2)), ("0.0737", weight(large, 10)), ("0.0101", weight(large, 100)),
          ("0.0050", weight(large, 349)), ("0.0055", weight(large, 500)), ("0.0102", weight(large, 1000)),
          ("0.600", weight(small, 2)), ("0.0103", weight(small, 100)), ("0.00551", weight(small, 500)),
          ("0.98", α[1000]), ("0.001", cosine.α[1000]),
        ]
      ),
      (
        "11",
        [
          ("1.6", linear.sqrtᾱ[1000] * 255), ("0.94", σ₁ * 127.5), ("1.28", wide * 127.5), ("0.00738", σ₁),
          ("0.531", 1 / 255 / σ₁), ("0.392", 1 / 255 / wide), ("0.405", exp2(-bits(128, σ₁))),
          ("0.305", exp2(-bits(128, wide))), ("0.702", exp2(-bits(0, σ₁))), ("0.653", exp2(-bits(0, wide))),
          ("1.31", bits(128, σ₁)), ("1.71", bits(128, wide)), ("0.51", bits(0, σ₁)), ("0.62", bits(0, wide)),
          ("0.41", bits(128, wide) - bits(128, σ₁)), ("7.0", log2(127.5)), ("27.6", log(1e12)),
        ]
      ),
      ("13", [("1.3", wide * 127.5), ("0.103", 1 - ᾱ[100])]),
      (
        "14",
        [
          ("0.674", noise(2, 0)), ("0.990", noise(100, 0)), ("1.41", noise(2, 1)), ("1.13", noise(100, 1)),
          ("0.0064", linear.sqrtᾱ[1000]),
        ]
      ),
      (
        "16",
        [
          ("4.605", 0.5 * log(1 - ᾱ[1])), ("0.00002", 0.5 * log1p(-ᾱ[1000])),
          ("3.186", 0.5 * log(2 * .pi * M_E * β[1])), ("1.419", 0.5 * log(2 * .pi * M_E)),
        ]
      ),
    ]
  }
}
