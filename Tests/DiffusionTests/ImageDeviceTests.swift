import Diffusion
import TensorGraph
import TestSupport
import Testing

/// Images on a device: the same arithmetic, somewhere else, and nothing comes back before it is asked for.
@Suite struct ImageDeviceTests {
  private let shape = Images.Shape(3, 2, 2, 2)

  private func noise(_ seed: UInt64, on device: ImageDevice? = nil) -> Images {
    CounterNoise(seed: seed, firstSample: 5, on: device).initialNoise(shape: shape)
  }

  @Test func noiseHasTheHostsBits() {
    let device = ImageDevice(ReferenceBackend())
    let z = CounterNoise(seed: 1 << 40 | 3, firstSample: 7, on: device).stepNoise(leaving: 9, shape: shape)
    #expect(z.device === device)
    #expect(z == CounterNoise(seed: 1 << 40 | 3, firstSample: 7).stepNoise(leaving: 9, shape: shape))
  }

  /// Every operation that samplers, guidance and limits are made of.
  @Test(
    arguments: [
      "sum": { a, b in a + b }, "difference": { a, b in a - b }, "product": { a, b in a * b },
      "scaled": { a, _ in 0.3 * a }, "quotient": { a, _ in a / 0.7 }, "clipped": { a, _ in X0Limit.clip(0.5)(a) },
      "thresholded": { a, _ in X0Limit.dynamic()(2 * a) }, "some samples": { a, b in (a + b).samples(1..<3) },
      "one sample": { a, _ in a[sample: 2] }, "joined": { a, b in Images(joining: [a, b]) },
      "the first half": { a, _ in a.splitChannels().0 }, "the second half": { a, _ in a.splitChannels().1 },
      "an expression": { a, b in
        let x = 0.5 * a + 2 * b
        return x * x - x / 3
      },
    ] as [String: @Sendable (Images, Images) -> Images])
  func computesWhatTheHostDoes(_ name: String, _ operation: @Sendable (Images, Images) -> Images) throws {
    let device = ImageDevice(ReferenceBackend())
    let expected = operation(noise(1), noise(2))
    // With one of them, and with both there.
    for b in [noise(2, on: device), noise(2)] {
      let found = operation(noise(1, on: device), b)
      #expect(found.shape == expected.shape)
      expect(largestDifference(found, expected), atMost: 3e-7, name)
      try device.check()
    }
  }

  private func largestDifference(_ a: Images, _ b: Images) -> Double {
    zip(a.scalars, b.scalars).map { Double(abs($0 - $1) / max(1, abs($1))) }.max() ?? .infinity
  }

  /// ε̂ of N(0, ½): as far as a formula goes that never looks at the numbers.
  private struct Stay: Denoiser {
    let schedule: NoiseSchedule
    func predict(_ xt: Images, at t: [Timestep], given condition: Condition) -> Images {
      let level = schedule.level(t[0])
      let (signal, noise) = (level.sqrtᾱ, level.sqrtOneMinusᾱ)
      return noise / (0.5 * signal * signal + noise * noise) * xt
    }
  }

  @Test(arguments: SamplerOrderTests.cases)
  func everySamplerStaysOnTheDevice(_ test: SamplerOrderTests.Case) throws {
    let schedule = try NoiseSchedule()
    let process = try ReverseProcess(schedule: schedule, limit: .clip(3))
    let backend = DistantBackend(ReferenceBackend())
    let device = ImageDevice(backend)

    func draw(on device: ImageDevice?) throws -> Images {
      var noise = CounterNoise(seed: 3, on: device)
      return try test.sampler.sample(
        shape: shape, timesteps: try TimestepSpacing.linspace.timesteps(12, of: schedule.T), process: process,
        denoiser: Stay(schedule: schedule), noise: &noise)
    }
    let found = try draw(on: device)
    #expect(found.device === device)
    #expect(backend.counts.readings == 0)
    expect(largestDifference(found, try draw(on: nil)), atMost: 2e-4, test.name)
    #expect(backend.counts.readings == 1)
  }

  /// Steps differ in numbers, and numbers are inputs.
  @Test func aProgramServesManySteps() throws {
    let backend = DistantBackend(ReferenceBackend())
    let device = ImageDevice(backend)
    var x = noise(1, on: device)
    for step in 1...20 {
      x = Double(step) * x + (1 / Double(step)) * noise(UInt64(step), on: device)
      _ = try x.onHost()
    }
    #expect(backend.counts.programs == 2)
  }

  @Test func aFailureIsTold() {
    let device = ImageDevice(DistantBackend(ReferenceBackend(), failsAfter: 0))
    let x = 2 * noise(1, on: device)
    #expect(throws: DistantBackend.Lost.self) { try x.onHost() }
    #expect(x.scalars.count { $0.isNaN } == shape.scalarCount)
    #expect(throws: DistantBackend.Lost.self) { try device.check() }
  }
}
