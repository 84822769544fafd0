import Diffusers
import Diffusion
import Files
import Networks
import TensorGraph
import Threads

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A trained model: opened once on some backend, then asked as often as one likes, from several tasks at once.
///
/// ```swift
/// let model = try Model(URL(filePath: "runs/mnist"), on: CPUBackend())
/// for try await event in try model.sample(SamplingRequest(count: 16)) {
///   if case .samples(let samples) = event { show(samples.pictures) }
/// }
/// ```
public final class Model: Sendable {
  /// Where it was read from; for messages.
  public let directory: URL
  /// What its network is made of.
  public let architecture: any Architecture
  /// The noise schedule and prediction that it was trained with, and its own way to sample.
  public let scheduler: SchedulerConfig
  /// What its condition means.
  public let card: ModelCard
  private let backend: any Backend
  /// Where samples are while they are drawn; nil for the host, where the backend has its memory.
  let device: ImageDevice?
  private let states: any States
  private let prefix: String
  /// One network for each batch size and sample size that was asked for.
  private let compiled = Monitor<[Compiled: NetworkDenoiser]>([:])
  private let checked = Monitor<String?>(nil)

  private struct Compiled: Hashable {
    let batchSize: Int
    let size: SampleSize
  }

  /// Reads a directory that diffusers or this library wrote.
  ///
  /// - Parameter scheduler: the noise schedule and prediction it was trained with, where the directory does not say it.
  /// - Throws: ``SamplingError`` where there is no scheduler, or the network's classes are not a table or its timesteps none, and what reading throws.
  public convenience init(
    _ directory: URL, scheduler given: SchedulerConfig? = nil, on backend: any Backend
  ) throws {
    let (pipeline, file) = try PipelineDirectory.open(directory)
    guard let scheduler = try given ?? pipeline.scheduler() else { throw SamplingError.noScheduler(directory.path) }
    if let unet = pipeline.network as? UNetConfig, unet.classEmbedding != nil, unet.classRows == nil {
      throw SamplingError.unsupportedClasses
    }
    if (pipeline.network as? UNetConfig)?.timeEmbedding == .fourier { throw SamplingError.noiseLevels }
    let builder = GraphBuilder()
    _ = try pipeline.network.declare(in: builder, prefix: "")
    let states = try backend.makeStates(for: [builder.finish()])
    try NetworkWeights(file, for: pipeline.network).load(into: states)
    try self.init(
      pipeline.network, scheduler: scheduler, card: pipeline.card, states: states, directory: directory, on: backend)
  }

  /// A model whose weights are in some states already: a training run's average, under the prefix `ema.`.
  ///
  /// - Throws: ``SamplingError/variance(_:channels:outChannels:)`` where network and scheduler do not fit, and what the schedule throws.
  public init(
    _ architecture: any Architecture, scheduler: SchedulerConfig, card: ModelCard = ModelCard(), states: any States,
    prefix: String = "", directory: URL = URL(filePath: "."), on backend: any Backend
  ) throws {
    self.architecture = architecture
    self.scheduler = scheduler
    self.card = card
    self.states = states
    self.prefix = prefix
    self.directory = directory
    self.backend = backend
    device = backend.isAsynchronous ? ImageDevice(backend) : nil
    _ = try process(scheduler)
  }

  /// The number of classes that may be asked for; nil for an unconditional model.
  public var classCount: Int? { architecture.classCount(card) }

  /// The reverse process of a scheduler for this network: its output is a prediction, and as many channels again for a learned variance.
  ///
  /// - Throws: ``SamplingError/variance(_:channels:outChannels:)``, and what the schedule throws.
  public func process(_ scheduler: SchedulerConfig) throws -> ReverseProcess {
    let process = try scheduler.process()
    guard architecture.outChannels == process.variance.outChannels(architecture.channels) else {
      throw SamplingError.variance(
        process.variance.rawValue, channels: architecture.channels, outChannels: architecture.outChannels)
    }
    return process
  }

  /// The reverse process as the model was trained, with some of it changed.
  ///
  /// - Parameters:
  ///   - variance: nil for the model's own.
  ///   - limit: on x̂_0; nil for the model's own. The paper measures with `.clip()`.
  public func process(variance: ReverseVariance? = nil, limit: X0Limit? = nil) throws -> ReverseProcess {
    var scheduler = scheduler
    if let variance { scheduler.variance = variance }
    let process = try process(scheduler)
    return limit.map(process.limited) ?? process
  }

  /// The network, compiled for a batch or for parts of it (``NetworkDenoiser/batchSize``); the same one each time that the sizes are.
  ///
  /// - Parameter size: nil for the model's own.
  /// - Throws: ``SamplingError/noSize`` where nothing says how large samples are, and what compiling throws.
  public func denoiser(batchSize: Int, size: SampleSize? = nil) throws -> NetworkDenoiser {
    let size = try sampleSize(size)
    // Each device gets as many samples as the others.
    let devices = backend.deviceCount
    let batchSize = (batchSize + devices - 1) / devices * devices
    return try compiled.change { compiled in
      let asked = Compiled(batchSize: batchSize, size: size)
      if let known = compiled[asked] { return known }
      // Of two batches the parts may be the same.
      let part = Compiled(batchSize: try architecture.part(of: batchSize, size: size, on: backend), size: size)
      let denoiser =
        try compiled[part]
        ?? NetworkDenoiser(
          architecture, card: card, part: part.batchSize, size: size, on: backend, device: device, states: states,
          prefix: prefix)
      (compiled[asked], compiled[part]) = (denoiser, denoiser)
      return denoiser
    }
  }

  /// What measures the bound with this network: where the network runs, but for trajectories, which the host draws.
  ///
  /// - Parameter size: nil for the model's own.
  /// - Throws: what ``denoiser(batchSize:size:)`` and compiling throw.
  package func boundRun(
    _ bound: VariationalBound, visits: TimestepVisits, path: NoisePath = .independent, seed: UInt64, batchSize: Int,
    size: SampleSize? = nil
  ) throws -> BoundRun<NetworkDenoiser> {
    let denoiser = try denoiser(batchSize: batchSize, size: size)
    let there =
      device == nil || path != .independent ? nil : try DeviceBound(bound, denoiser, seed: seed, on: backend)
    return BoundRun(
      bound, denoiser: denoiser, visits: visits, path: path, seed: seed, batchSize: batchSize, device: there)
  }

  /// - Throws: ``SamplingError/noSize`` where neither the caller nor the model says it, and what the architecture says of the size.
  func sampleSize(_ given: SampleSize?) throws -> SampleSize {
    guard let size = given ?? architecture.sampleSize else { throw SamplingError.noSize }
    try architecture.validate(height: size.height, width: size.width)
    return size
  }

  /// That noise of this shape is what so many samples of this model, or any number of them, begin with.
  ///
  /// - Throws: `RecordedNoiseError`, and what the architecture says of the size.
  public func check(noise shape: Images.Shape, of count: Int? = nil) throws {
    let size = try sampleSize(SampleSize(shape))
    let wanted = Images.Shape(count ?? shape.count, architecture.channels, size.height, size.width)
    guard shape == wanted else { throw RecordedNoiseError.shape(shape, wanted: wanted) }
  }

  /// The number of a class by its name or, where it has none, its number.
  ///
  /// - Throws: ``SamplingError`` naming the classes that there are.
  public func classNumber(_ text: String) throws(SamplingError) -> Int {
    guard let count = classCount else { throw .noClasses }
    if let index = card.classNames.firstIndex(of: text) { return index }
    guard let number = Int(text), (0..<count).contains(number) else {
      guard card.classNames.isEmpty else { throw .className(text, known: card.classNames) }
      throw .label(Int(text) ?? -1, classes: count)
    }
    return number
  }

  /// Tells one model from another: a checksum of each file of weights, and one of what says how the weights are used. The files are read once.
  ///
  /// - Throws: `PipelineError` or `FileError` where the weights are not there any more.
  public func fingerprint() throws -> String {
    try checked.change { known in
      if let known { return known }
      let checked = try checksums()
      known = checked
      return checked
    }
  }

  private func checksums() throws -> String {
    let weights = try PipelineDirectory.weightsURLs(in: directory).map {
      try CRC32C.checksum(ofFile: $0.path, limit: 1 << 36).checksum
    }
    let network = (architecture as? any StoredArchitecture)?.json(updating: [:]) ?? [:]
    let use = JSONValue.object(network).canonicalText + scheduler.json + "\(card)"
    return "crc32c:"
      + (weights + [CRC32C.checksum(Array(use.utf8))]).map { String($0, radix: 16) }.joined(separator: "-")
  }
}

extension PipelineDirectory {
  /// What the directory says of the scheduler; nil where it says nothing. Whatever its class: a sampler is always named.
  ///
  /// - Throws: `SchedulerConfigError`.
  func scheduler() throws -> SchedulerConfig? { try schedulerJSON.map { try SchedulerConfig(tolerating: $0) } }
}

extension ReverseVariance {
  /// The channels of a network's output for samples of some channels.
  func outChannels(_ channels: Int) -> Int { isLearned ? 2 * channels : channels }
}
