import Diffusion
import Networks
import Pictures
import TensorGraph

/// What happens while samples are drawn.
public enum SamplingEvent: Sendable {
  /// A step of a batch was taken.
  case step(SamplingStep)
  /// A batch is finished.
  case samples(Samples)
}

/// A step of a batch.
public struct SamplingStep: Sendable {
  /// Which samples are in the batch.
  public let samples: Range<Int>
  /// x_t and x̂_0 of the batch after the step.
  public let progress: SamplingProgress
  /// Steps done, and to do, over all batches of the request.
  public let done: Int
  /// Steps of all batches of the request.
  public let total: Int
}

/// A finished batch.
public struct Samples: Sendable {
  /// Which of the series.
  public let range: Range<Int>
  /// x_0 [N, C, H, W], before any 8-bit decoding.
  public let final: Images
  /// Decoded to 8 bits, but of points, which are none; other channels than grey or RGB in grey, one below the other.
  public let pictures: [Image8]
  /// The noise, where the request asks for it.
  public let initialNoise: Images?
  /// The noise of each step that drew some, in their order; empty unless the request asks for it.
  public let stepNoise: [Images]
}

/// Samples as they are drawn. Nothing is computed before it is asked for, so memory does not grow with their number; cancelling the task
/// that iterates stops within one step.
public struct SampleSequence: AsyncSequence, Sendable {
  public typealias Element = SamplingEvent

  /// Of the whole request.
  public let plan: SamplingPlan
  /// The network that is asked.
  public var denoiser: NetworkDenoiser { network.network }
  /// Where the bytes of the networks go.
  public var memoryPlan: MemoryPlan { network.memoryPlan }
  /// The memory of the host beside them, with the recorded noise.
  public var hostMemory: Int {
    let recorded = [request.initialNoise].compactMap(\.self) + (request.stepNoise ?? [])
    return network.hostMemory + recorded.reduce(0) { $0 + $1.shape.scalarCount * MemoryLayout<Float>.stride }
  }
  let network: GuidedNetwork
  let request: SamplingRequest
  let model: Model

  public func makeAsyncIterator() -> Iterator { Iterator(drawing: SampleDrawing(self)) }

  /// One walk through all batches.
  public struct Iterator: AsyncIteratorProtocol {
    let drawing: SampleDrawing

    /// The next event; nil after the last batch.
    ///
    /// - Throws: `CancellationError`, ``SamplingError/notFinite(step:of:t:)``, and what the network throws.
    public mutating func next() async throws -> SamplingEvent? {
      try Task.checkCancellation()
      let drawing = drawing
      return try await Worker.run { try drawing.advance() }
    }
  }
}

extension Model {
  /// Prepares to draw: checks the request, and compiles the network where that was not done before.
  ///
  /// - Throws: ``SamplingError`` for a request that does not fit the model, and what compiling throws.
  public func sample(_ request: SamplingRequest) throws -> SampleSequence {
    guard (1...SamplingError.largestCount).contains(request.samples.count),
      (0...SamplingError.largestCount).contains(request.samples.upperBound)
    else { throw SamplingError.count(request.samples.count) }
    guard (1...SamplingError.largestBatch).contains(request.batchSize) else {
      throw SamplingError.batchSize(request.batchSize)
    }
    let plan = try request.plan ?? self.plan()
    let noiseSize = request.initialNoise.map { SampleSize($0.shape) }
    let size = try sampleSize(request.size ?? noiseSize)
    let wanted = Images.Shape(request.samples.count, architecture.channels, size.height, size.width)
    for images in [request.initialNoise].compactMap(\.self) + (request.stepNoise ?? []) {
      guard images.shape == wanted else { throw RecordedNoiseError.shape(images.shape, wanted: wanted) }
      guard images.isFinite else { throw SamplingError.noiseNotFinite }
    }
    let parts = request.parts ?? [request.samples]
    for part in parts where part.isEmpty || part.clamped(to: request.samples) != part {
      throw SamplingError.part(part, of: request.samples)
    }
    let batch = min(request.batchSize, parts.map(\.count).max() ?? 1)
    // Whatever is wrong with the condition is wrong with the first sample's.
    let first = request.samples.lowerBound..<request.samples.lowerBound + 1
    _ = try architecture.rows(of: try condition(of: first, request), card)
    let network = try guidedNetwork(batchSize: batch, size: size, by: request.guidance, weaker: request.weaker)
    return SampleSequence(plan: plan, network: network, request: request, model: self)
  }

  /// What is asked of some of the samples.
  public func condition(of samples: Range<Int>, _ request: SamplingRequest) throws -> Condition {
    try request.condition?(samples) ?? classesInTurn(samples)
  }
}

/// The batches of one iteration, one after the other.
final class SampleDrawing: @unchecked Sendable {
  // Safe to send: one iterator owns it and asks for one event at a time.
  private let sequence: SampleSequence
  private let denoiser: any Denoiser
  private let batches: [Range<Int>]
  private var index = 0
  private var batch: Batch?

  private struct Batch {
    let start: Images
    let next: () throws -> SamplingProgress?
    let recorded: () -> [Images]
    var last: SamplingProgress?
  }

  init(_ sequence: SampleSequence) {
    self.sequence = sequence
    denoiser = sequence.network.denoiser(sequence.plan.process.schedule)
    let (request, size) = (sequence.request, sequence.request.batchSize)
    batches = (request.parts ?? [request.samples]).flatMap { part in
      stride(from: part.lowerBound, to: part.upperBound, by: size).map { $0..<min($0 + size, part.upperBound) }
    }
  }

  func advance() throws -> SamplingEvent? {
    guard index < batches.count else { return nil }
    var current = try batch ?? begin(batches[index])
    if let progress = try current.next() {
      // Images on a device are looked at when they are finished: it is ahead of us.
      guard progress.x.device != nil || progress.x.isFinite else {
        throw SamplingError.notFinite(step: progress.done, of: progress.count, t: progress.transition.from)
      }
      current.last = progress
      batch = current
      return .step(
        SamplingStep(
          samples: batches[index], progress: progress, done: index * progress.count + progress.done,
          total: batches.count * progress.count))
    }
    let finished = try finish(current, batches[index])
    batch = nil
    index += 1
    return .samples(finished)
  }

  private func begin(_ samples: Range<Int>) throws -> Batch {
    let (request, plan, model) = (sequence.request, sequence.plan, sequence.model)
    let first = request.samples.lowerBound
    var noise = SamplingNoise(
      seed: request.seed, firstSample: samples.lowerBound,
      recorded: samples.lowerBound - first..<samples.upperBound - first, initial: request.initialNoise,
      steps: request.stepNoise, records: request.recordsNoise, on: model.device)
    let size = sequence.network.size
    let start = try noise.initialNoise(
      shape: .init(samples.count, model.architecture.channels, size.height, size.width))
    return walk(
      plan.sampler, from: start, noise, given: try model.condition(of: samples, request), denoiser)
  }

  private func walk(
    _ sampler: some Sampler, from start: Images, _ noise: SamplingNoise, given condition: Condition,
    _ denoiser: some Denoiser
  ) -> Batch {
    var walk = SamplingWalk(
      from: start, timesteps: sequence.plan.timesteps, process: sequence.plan.process, sampler: sampler,
      denoiser: denoiser, given: condition, noise: noise)
    return Batch(start: start, next: { try walk.next() }, recorded: { walk.noise.recorded })
  }

  private func finish(_ batch: Batch, _ samples: Range<Int>) throws -> Samples {
    let final = try (batch.last?.x ?? batch.start).onHost()
    try sequence.model.device?.check()
    if let last = batch.last, !final.isFinite {
      throw SamplingError.notFinite(step: last.done, of: last.count, t: last.transition.from)
    }
    let request = sequence.request
    return Samples(
      range: samples, final: final, pictures: pictures(of: final, batch.last?.decoderLogVariance, samples),
      initialNoise: request.recordsNoise ? batch.start : nil, stepNoise: batch.recorded())
  }

  /// 8-bit pixels of the last step's Gaussian.
  private func pictures(of final: Images, _ logVariance: LogVariance?, _ samples: Range<Int>) -> [Image8] {
    // Points have nothing that could be seen one by one.
    guard final.shape.height * final.shape.width > 1 else { return [] }
    let (request, plan) = (sequence.request, sequence.plan)
    let draws = CounterNoise(seed: request.seed, firstSample: samples.lowerBound, stream: .decoder)
    let pixels = DiscretizedDecoder.pixels(
      mean: final,
      logVariance: logVariance
        ?? .uniform(plan.process.fixedLogVariance(at: Timestep(plan.timesteps.last?.number ?? 1), to: .data)),
      choosing: request.decoder, uniforms: request.decoder == .sample ? draws.uniforms(shape: final.shape) : [])
    return final.pictures(of: pixels)
  }
}

extension Images {
  /// Whether no scalar is NaN or infinite.
  var isFinite: Bool { scalars.allSatisfy(\.isFinite) }
}
