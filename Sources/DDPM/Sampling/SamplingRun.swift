import Diffusion
import Networks
import Pictures
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Draws images from a model: what `ddpm sample` does.
public struct SamplingRun {
  /// What to draw, and how.
  public struct Options: Sendable {
    public var count = 16
    /// Images that are computed together. It changes the speed and the memory, never the images.
    public var batchSize = 16
    public var method = SamplingMethod.ddpm
    /// nil: the method's own choice; all T for `ddpm`.
    public var steps: Int?
    public var spacing: TimestepSpacing?
    /// Of DDIM: the noise of each step as a fraction of the ancestral one.
    public var η = 0.0
    public var seed: UInt64 = 0
    /// Of `ddpm`; nil: the model's own.
    public var variance: ReverseVariance?
    /// How the last step's Gaussian becomes 8-bit pixels.
    public var decoder = DiscretizedDecoder.PixelChoice.mostProbable
    /// nil: for a model with classes, sample i is of class i mod the number of classes.
    public var label: Int?
    /// x_T (N, C, H, W), and the noise of each step; drawn from `seed` unless given.
    public var initialNoise: Images?
    public var stepNoise: [Images]?
    /// So many views of x̂_0 (`progressive`) and of x_t (`frames`) on the way are kept.
    public var progressiveCount = 0
    public var frameCount = 0
    /// Whether the noise that was drawn is kept in the result.
    public var recordsNoise = false

    public init() {}
  }

  /// What was drawn.
  public struct Result: Sendable {
    /// (N, C, H, W) in about [−1, 1], before any 8-bit decoding.
    public var final: Images
    public var pictures: [Image8]
    /// x̂_0 on the way, for each view all samples.
    public var progressive: [[Image8]]
    /// x_t on the way, for each frame all samples.
    public var frames: [[Image8]]
    /// What was drawn, where the options ask for it.
    public var initialNoise: Images?
    public var stepNoise: [Images] = []
  }

  public let options: Options
  public let network: UNetConfig
  public let process: ReverseProcess
  public let timesteps: [Timestep]
  /// Height and width of the images.
  public let size: (height: Int, width: Int)
  private let sampler: any Sampler
  private let denoiser: UNetDenoiser

  /// Reads a model and compiles its network.
  ///
  /// - Throws: ``SamplingError`` for options that do not fit the model, and what reading and compiling throw.
  public init(model directory: URL, options: Options, on backend: any Backend) throws {
    let model = try PipelineModel(directory)
    try self.init(model, options: options, on: backend)
    try model.weights.load(into: denoiser.executable.states)
  }

  private init(_ model: PipelineModel, options: Options, on backend: any Backend) throws {
    self.options = options
    network = model.network
    var scheduler = options.method.scheduler(for: model.scheduler)
    if let spacing = options.spacing { scheduler.spacing = spacing }
    guard options.variance == nil || options.method == .ddpm else {
      throw SamplingError.varianceWithout(options.method)
    }
    if let variance = options.variance { scheduler.variance = variance }
    process = try model.process(scheduler)
    guard network.inChannels == 1 || network.inChannels == 3 else { throw SamplingError.channels(network.inChannels) }
    let steps = options.steps ?? options.method.defaultSteps(T: scheduler.T)
    guard (1...scheduler.T).contains(steps) else { throw SamplingError.steps(steps, T: scheduler.T) }
    timesteps = try scheduler.timesteps(steps)

    guard (1...SamplingError.largestCount).contains(options.count) else { throw SamplingError.count(options.count) }
    guard (1...SamplingError.largestBatch).contains(options.batchSize) else {
      throw SamplingError.batchSize(options.batchSize)
    }
    guard (0...1).contains(options.η) else { throw SamplingError.eta(options.η) }
    guard options.η == 0 || options.method == .ddim else { throw SamplingError.etaWithout(options.method) }
    sampler = options.method.sampler(scheduler, η: options.η)

    let sampleSize = network.sampleSize.map { ($0.height, $0.width) }
    guard let size = options.initialNoise.map({ ($0.shape.height, $0.shape.width) }) ?? sampleSize else {
      throw SamplingError.noSize
    }
    try network.validate(height: size.0, width: size.1)
    self.size = size
    for images in [options.initialNoise].compactMap(\.self) + (options.stepNoise ?? []) {
      let wanted = Images.Shape(options.count, network.inChannels, size.0, size.1)
      guard images.shape == wanted else { throw RecordedNoiseError.shape(images.shape, wanted: wanted) }
      guard images.isFinite else { throw SamplingError.noiseNotFinite }
    }

    if let label = options.label { try network.check(label: label) }
    let batch = min(options.batchSize, options.count)
    do {
      denoiser = try UNetDenoiser(network, batchSize: batch, height: size.0, width: size.1, on: backend)
    } catch ProgramError.shape(let error) {
      throw SamplingError.tooLarge(batch: batch, error.description)
    }
  }

  /// What the network's program needs.
  public var memoryPlan: MemoryPlan { denoiser.executable.memoryPlan }

  /// The executable of the network, for a profile.
  public var executable: any Executable { denoiser.executable }

  /// Draws the images.
  ///
  /// - Parameter observe: called after each step of each batch with the steps done of all; throw from it to stop.
  /// - Throws: ``SamplingError/notFinite(step:of:t:)``, and what the network and `observe` throw.
  public func callAsFunction(observe: ((_ done: Int, _ total: Int) throws -> Void)? = nil) throws -> Result {
    var finals: [Images] = []
    var starts: [Images] = []
    var result = Result(
      final: Images(shape: .init(0, network.inChannels, size.height, size.width), scalars: []), pictures: [],
      progressive: [], frames: [])
    let batches = stride(from: 0, to: options.count, by: options.batchSize).map {
      $0..<min($0 + options.batchSize, options.count)
    }
    for (index, samples) in batches.enumerated() {
      let batch = try draw(samples) { done, count in
        try observe?(index * count + done, batches.count * count)
      }
      finals.append(batch.final)
      if let start = batch.initialNoise { starts.append(start) }
      result.stepNoise =
        index == 0 ? batch.stepNoise : zip(result.stepNoise, batch.stepNoise).map { Images(joining: [$0, $1]) }
      result.pictures += batch.pictures
      Self.append(batch.progressive, to: &result.progressive)
      Self.append(batch.frames, to: &result.frames)
    }
    result.final = Images(joining: finals)
    if !starts.isEmpty { result.initialNoise = Images(joining: starts) }
    return result
  }

  private static func append(_ views: [[Image8]], to all: inout [[Image8]]) {
    if all.isEmpty { all = views } else { for i in views.indices { all[i] += views[i] } }
  }

  private func draw(_ samples: Range<Int>, observe: (Int, Int) throws -> Void) throws -> Result {
    var condition = Condition.none
    if case .learned(let classes) = network.classEmbedding {
      condition = .classes(samples.map { options.label ?? $0 % classes })
    }
    var noise = SamplingNoise(
      seed: options.seed, samples: samples, initial: options.initialNoise, steps: options.stepNoise,
      records: options.recordsNoise)
    var progressive: [[Image8]] = []
    var frames: [[Image8]] = []
    let shape = Images.Shape(samples.count, network.inChannels, size.height, size.width)
    let start = try noise.initialNoise(shape: shape)
    if options.frameCount > 0 { frames.append(start.pictures) }

    var decoderLogVariance: LogVariance?
    let final = try withoutActuallyEscaping(observe) { observe in
      try sampler.sample(
        shape: shape, timesteps: timesteps, process: process, denoiser: denoiser, given: condition, noise: &noise,
        start: start
      ) { step in
        try step.checkFinite()
        decoderLogVariance = step.decoderLogVariance
        // Views at equal distances, the last step always among them.
        if Self.isView(step.done, of: step.count, views: options.progressiveCount) {
          progressive.append(step.x0.pictures)
        }
        if Self.isView(step.done, of: step.count, views: options.frameCount) { frames.append(step.x.pictures) }
        try observe(step.done, step.count)
      }
    }
    return Result(
      final: final, pictures: final.pictures(of: pixels(final, decoderLogVariance, samples)), progressive: progressive,
      frames: frames,
      initialNoise: options.recordsNoise ? start : nil, stepNoise: noise.recorded)
  }

  /// Whether one of `views` equidistant views of `count` steps falls on step `done`.
  private static func isView(_ done: Int, of count: Int, views: Int) -> Bool {
    done * min(views, count) / count > (done - 1) * min(views, count) / count
  }

  /// 8-bit pixels of the last step's Gaussian.
  private func pixels(_ final: Images, _ logVariance: LogVariance?, _ samples: Range<Int>) -> [UInt8] {
    let draws = CounterNoise(seed: options.seed, firstSample: samples.lowerBound, stream: .decoder)
    return DiscretizedDecoder.pixels(
      mean: final, logVariance: logVariance ?? .uniform(process.fixedLogVariance(at: timesteps.last ?? 1, to: .data)),
      choosing: options.decoder,
      uniforms: options.decoder == .sample ? draws.uniforms(shape: final.shape) : [])
  }
}

extension SamplingProgress {
  /// - Throws: ``SamplingError/notFinite(step:of:t:)`` where the step led to NaN or infinity.
  func checkFinite() throws(SamplingError) {
    guard x.isFinite else { throw .notFinite(step: done, of: count, t: transition.from) }
  }
}

extension Images {
  /// Whether no scalar is NaN or infinite.
  var isFinite: Bool { scalars.allSatisfy(\.isFinite) }
}

/// Options that do not fit the model, and models that give no images.
public enum SamplingError: Error, Equatable, Sendable, CustomStringConvertible {
  case noScheduler(String)
  case steps(Int, T: Int)
  case count(Int)
  case batchSize(Int)
  case eta(Double)
  case etaWithout(SamplingMethod)
  case varianceWithout(SamplingMethod)
  case variance(String, channels: Int, outChannels: Int)
  case channels(Int)
  case noSize
  case noClasses
  case classMissing(classes: Int)
  case label(Int, classes: Int)
  case unsupportedClasses
  case tooLarge(batch: Int, String)
  case noiseNotFinite
  case notFinite(step: Int, of: Int, t: Timestep)
  case noiseShape(file: String, tensor: String, found: [Int], wanted: String)

  static let largestCount = 1_000_000
  package static let largestBatch = 65_536

  public var description: String {
    switch self {
    case .noScheduler(let path): "\(path): has no scheduler/scheduler_config.json, which says how the model was trained"
    case .steps(let steps, let T): "steps is \(steps); the model has \(T) timesteps: choose 1 to \(T)"
    case .count(let count): "count is \(count); choose 1 to \(Self.largestCount)"
    case .batchSize(let size): "batch-size is \(size); choose 1 to \(Self.largestBatch)"
    case .eta(let η): "eta is \(η); it is a fraction of the noise: choose 0 to 1"
    case .etaWithout(let method): "eta belongs to the sampler ddim, not to \(method.rawValue)"
    case .varianceWithout(let method):
      "variance belongs to the sampler ddpm, not to \(method.rawValue): leave out --variance"
    case .variance(let name, let channels, let outChannels):
      "variance \(name) does not fit a network of \(channels) channels in and \(outChannels) out: "
        + "leave out --variance, or correct variance_type in scheduler/scheduler_config.json"
    case .channels(let channels): "the model has \(channels) channels; images have 1 or 3: use ddpm run"
    case .noSize: "the model does not say how large its images are (sample_size in unet/config.json): add it there"
    case .noClasses: "the model was trained without classes: leave out --class"
    case .classMissing(let classes): "the model asks for a class, 0 to \(classes - 1), and none is given: give one"
    case .label(let label, let classes): "class is \(label); the model knows 0 to \(classes - 1)"
    case .unsupportedClasses: "class embeddings other than a learned table are not sampled here: use ddpm run"
    case .tooLarge(let batch, let problem): "a batch of \(batch) images is too large: lower --batch-size (\(problem))"
    case .noiseNotFinite: "the recorded noise holds NaN or infinity: record it again"
    case .notFinite(let step, let count, let t):
      "step \(step) of \(count), at t = \(t), gave NaN or infinity: the network's output is not finite; are the weights whole, "
        + "and is the model trained with this prediction and variance?"
    case .noiseShape(let file, let tensor, let found, let wanted):
      "\(file): tensor '\(tensor)' has shape \(found); it should be \(wanted)"
    }
  }
}
