import TensorGraph

/// Where a sampler's Gaussian noise comes from.
public protocol NoiseSource {
  /// x_T, or ε where there is no chain: N(0, I).
  mutating func initialNoise(shape: Images.Shape) throws -> Images
  /// z ~ N(0, I) for the step that leaves `t`.
  mutating func stepNoise(leaving t: Timestep, shape: Images.Shape) throws -> Images
}

/// Noise with an address: sample i at step t is a function of (seed, i, t) alone, whatever the batch it is drawn in.
///
/// x_T has the counter's step word 0; the step that leaves t has t, and the fraction of a level between two in the bits that 10⁶ steps leave
/// free. See `Philox4x32` for the convention.
public struct CounterNoise: NoiseSource, Sendable {
  /// The key of all draws.
  public let seed: UInt64
  /// The index, in the whole run, of the batch's first sample.
  public let firstSample: Int
  /// What the noise is for: each purpose has numbers of its own.
  public let stream: RandomStream
  /// Where it is drawn; nil for the host. The numbers are the same.
  public let device: ImageDevice?

  /// Noise of a seed, for a batch that begins at a sample of the run.
  public init(seed: UInt64, firstSample: Int = 0, stream: RandomStream = .sampling, on device: ImageDevice? = nil) {
    precondition(firstSample >= 0 && firstSample <= Int(UInt32.max), "sample \(firstSample) is beyond 2³²")
    self.seed = seed
    self.firstSample = firstSample
    self.stream = stream
    self.device = device
  }

  /// x_T.
  public func initialNoise(shape: Images.Shape) -> Images { noise(step: 0, shape: shape) }

  /// z of the step that leaves t.
  public func stepNoise(leaving t: Timestep, shape: Images.Shape) -> Images {
    noise(step: UInt32(truncatingIfNeeded: t.number) | UInt32(t.fraction * 4096) << 20, shape: shape)
  }

  /// Uniform numbers in [0, 1), one a scalar: what `DiscretizedDecoder.pixels` draws pixels with, under the stream `.decoder`.
  public func uniforms(shape: Images.Shape) -> [Float] {
    each(shape) { Philox4x32.fill(uniforms: $0, seed: seed, sample: $1, step: 0, stream: stream) }
  }

  private func noise(step: UInt32, shape: Images.Shape) -> Images {
    if let device, device.holds(shape) { return Images(self, step: step, shape: shape, on: device) }
    return Images(
      shape: shape,
      scalars: each(shape) {
        Philox4x32.fill(
          normals: $0, seed: seed, sample: $1, step: step, stream: stream)
      })
  }

  /// The scalars of a batch, filled sample by sample.
  private func each(_ shape: Images.Shape, fill: (UnsafeMutableBufferPointer<Float>, UInt32) -> Void) -> [Float] {
    let dimension = shape.dimension
    return [Float](unsafeUninitializedCapacity: shape.scalarCount) { buffer, count in
      for n in 0..<shape.count {
        fill(
          UnsafeMutableBufferPointer(rebasing: buffer[n * dimension..<(n + 1) * dimension]),
          UInt32(truncatingIfNeeded: firstSample + n))
      }
      count = shape.scalarCount
    }
  }
}

/// Noise replayed in the order it was drawn, by another program for instance.
public struct RecordedNoise: NoiseSource, Sendable {
  private let initial: Images
  private let steps: [Images]
  private var drawn = 0

  /// x_T, and the noise of each step that draws some.
  public init(initial: Images, steps: [Images] = []) {
    self.initial = initial
    self.steps = steps
  }

  /// The recorded x_T.
  public func initialNoise(shape: Images.Shape) throws(RecordedNoiseError) -> Images {
    guard initial.shape == shape else { throw .shape(initial.shape, wanted: shape) }
    return initial
  }

  /// The next of the recorded noises, whatever t is left.
  public mutating func stepNoise(leaving t: Timestep, shape: Images.Shape) throws(RecordedNoiseError) -> Images {
    guard drawn < steps.count else { throw .exhausted(steps.count, t) }
    guard steps[drawn].shape == shape else { throw .shape(steps[drawn].shape, wanted: shape) }
    defer { drawn += 1 }
    return steps[drawn]
  }
}

/// A recording that does not fit what is drawn.
public enum RecordedNoiseError: Error, Equatable, CustomStringConvertible {
  case exhausted(Int, Timestep)
  case shape(Images.Shape, wanted: Images.Shape)

  public var description: String {
    switch self {
    case .exhausted(let count, let t):
      "the recording holds \(count) step noises and ends before t = \(t): record one for each step, or lower η"
    case .shape(let found, let wanted): "the recorded noise has shape \(found), the batch \(wanted)"
    }
  }
}
