import Diffusion

/// The noise of one batch of a run: recorded where a recording is given, and otherwise counted, so that image i depends on (seed, i) only.
struct SamplingNoise: NoiseSource {
  private var recordedInitial: Images?
  private var recordedSteps: [Images]?
  private var drawn = 0
  private let counted: CounterNoise
  private let records: Bool
  /// The noise of the steps so far, where it is kept.
  private(set) var recorded: [Images] = []

  /// - Parameters:
  ///   - firstSample: of the batch, in the seed's series.
  ///   - samples: which of the recorded samples are in the batch.
  ///   - device: where it is drawn; nil for the host.
  init(
    seed: UInt64, firstSample: Int, recorded samples: Range<Int>, initial: Images?, steps: [Images]?,
    records: Bool = false, on device: ImageDevice? = nil
  ) {
    self.records = records
    counted = CounterNoise(seed: seed, firstSample: firstSample, on: device)
    recordedInitial = initial.map { $0.samples(samples) }
    recordedSteps = steps.map { $0.map { $0.samples(samples) } }
  }

  mutating func initialNoise(shape: Images.Shape) throws -> Images {
    guard let recordedInitial else { return counted.initialNoise(shape: shape) }
    guard recordedInitial.shape == shape else {
      throw RecordedNoiseError.shape(recordedInitial.shape, wanted: shape)
    }
    return recordedInitial
  }

  mutating func stepNoise(leaving t: Timestep, shape: Images.Shape) throws -> Images {
    let noise = try nextStepNoise(leaving: t, shape: shape)
    if records { recorded.append(noise) }
    return noise
  }

  private mutating func nextStepNoise(leaving t: Timestep, shape: Images.Shape) throws -> Images {
    guard let recordedSteps else { return counted.stepNoise(leaving: t, shape: shape) }
    guard drawn < recordedSteps.count else { throw RecordedNoiseError.exhausted(recordedSteps.count, t) }
    guard recordedSteps[drawn].shape == shape else {
      throw RecordedNoiseError.shape(recordedSteps[drawn].shape, wanted: shape)
    }
    defer { drawn += 1 }
    return recordedSteps[drawn]
  }
}
