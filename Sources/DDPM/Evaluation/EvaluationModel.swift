import Datasets
import Diffusers
import Diffusion
import Files
import Networks
import Pictures
import TensorGraph

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A pipeline that was read to be measured: start reading the folder here.
///
/// ```swift
/// let model = try EvaluationModel(directory, limit: .clip())
/// let data = try model.openData("mnist", split: .test)
/// let run = BoundRun(VariationalBound(model.process), denoiser: try model.denoiser(batchSize: 32, data.shape, on: backend),
///                    seed: 0, batchSize: 32)
/// var statistics = BoundStatistics(T: model.process.schedule.T)
/// try run(&statistics, upTo: 64) { try data.evaluationImage($0) }
/// print(statistics.total.mean)                     // bits/dim
/// ```
public struct EvaluationModel {
  public let directory: URL
  public let network: UNetConfig
  public let process: ReverseProcess
  private let weights: NetworkWeights

  /// - Parameters:
  ///   - variance: nil for the model's own.
  ///   - limit: on x̂_0; nil for the model's own. The paper measures with `.clip()`.
  /// - Throws: ``SamplingError`` where the variance does not fit the network, and what reading throws.
  public init(_ directory: URL, variance: ReverseVariance? = nil, limit: X0Limit? = nil) throws {
    let model = try PipelineModel(directory)
    var scheduler = model.scheduler
    if let variance { scheduler.variance = variance }
    let process = try model.process(scheduler)
    self.directory = directory
    self.network = model.network
    self.process = limit.map(process.limited) ?? process
    self.weights = model.weights
  }

  /// Opens data at the model's size and channels.
  ///
  /// - Throws: ``EvaluationError/shape(data:model:)`` where data of another shape remains, and what ``Dataset/open(_:split:options:)`` throws.
  public func openData(_ path: String, split: Dataset.Split) throws -> Dataset {
    guard network.inChannels == 1 || network.inChannels == 3 else {
      throw EvaluationError.channels(network.inChannels)
    }
    var options = Dataset.Options()
    options.channels = network.inChannels
    if let size = network.sampleSize, size.height == size.width { options.imageSize = size.height }
    let data = try Dataset.open(path, split: split, options: options)
    if let size = network.sampleSize, data.shape.height != size.height || data.shape.width != size.width {
      throw EvaluationError.shape(data: "\(data.shape)", model: "\(network.inChannels)×\(size.height)×\(size.width)")
    }
    try network.validate(height: data.shape.height, width: data.shape.width)
    return data
  }

  /// The number of classes that the network knows; nil where it asks for none.
  public var classCount: Int? {
    if case .learned(let count) = network.classEmbedding { count } else { nil }
  }

  /// Checks that the data's labels are classes that the network knows, if it asks for classes.
  ///
  /// - Throws: ``EvaluationError/classes(data:found:known:)``.
  public func checkLabels(of data: Dataset) throws(EvaluationError) {
    guard let classCount else { return }
    guard (1...classCount).contains(data.classes.count) else {
      throw .classes(data: data.name, found: data.classes.count, known: classCount)
    }
  }

  /// Reads a picture file at the model's size and channels.
  public func picture(_ url: URL) throws -> Image8 {
    try fitted(Image8(contentsOf: url), path: url.path)
  }

  private func fitted(_ picture: Image8, path: String) throws -> Image8 {
    guard network.inChannels == 1 || network.inChannels == 3 else {
      throw EvaluationError.channels(network.inChannels)
    }
    var picture = picture.converted(channels: network.inChannels)
    if let size = network.sampleSize, picture.width != size.width || picture.height != size.height {
      guard size.width == size.height else {
        throw EvaluationError.shape(
          data: "\(path), \(picture.shape)", model: "\(network.inChannels)×\(size.height)×\(size.width)")
      }
      picture = picture.centreSquare(side: size.width)
    }
    try network.validate(height: picture.height, width: picture.width)
    return picture
  }

  /// Compiles the network for images of a shape, with the weights in it.
  public func denoiser(batchSize: Int, _ shape: ImageShape, on backend: any Backend) throws -> UNetDenoiser {
    let denoiser = try UNetDenoiser(
      network, batchSize: batchSize, height: shape.height, width: shape.width, on: backend)
    try weights.load(into: denoiser.executable)
    return denoiser
  }

  /// Tells one set of weights from another: the checksum of the weights file.
  public func fingerprint() throws -> String {
    let checksum = try CRC32C.checksum(
      ofFile: PipelineDirectory.weightsURL(in: directory).path, limit: SafetensorsFile.largest
    ).checksum
    return "crc32c:" + String(checksum, radix: 16)
  }
}

extension Dataset {
  /// Image `index` as the model sees it: byte/127.5 − 1, never mirrored.
  public func evaluationImage(_ index: Int) throws -> EvaluationImage {
    let example = try load(index)
    return EvaluationImage(
      x0: Images(
        shape: .init(1, shape.channels, shape.height, shape.width), scalars: example.pixels.map { PixelScale.x0($0) }),
      label: example.label)
  }
}

/// Why an evaluation cannot be done, or had to stop.
public enum EvaluationError: Error, Equatable, Sendable, CustomStringConvertible {
  case channels(Int)
  case shape(data: String, model: String)
  case limit(Int, available: Int)
  case timesteps(Int, T: Int)
  case timestep(Int, T: Int)
  case batchSize(Int)
  case notFinite(Double, t: Timestep)
  case damagedState(String, String)
  case otherState(String, key: String, found: String, wanted: String)
  case tooManyImages(String, found: Int, wanted: Int)
  case imageIndex(String, count: Int)
  case classes(data: String, found: Int, known: Int)
  case noLabel(String)

  public var description: String {
    switch self {
    case .channels(let channels): "the model has \(channels) channels; images have 1 or 3"
    case .shape(let data, let model): "\(data): the model is for \(model): resize the data first"
    case .limit(let limit, let available): "limit is \(limit); choose 1 to \(available), the images of the data"
    case .timesteps(let count, let T):
      "timesteps is \(count); choose \(min(2, T)) to \(T), or leave it out for the full bound"
    case .timestep(let t, let T): "timestep \(t) is not one of 1…\(T)"
    case .batchSize(let size): "batch-size is \(size); choose 1 to \(SamplingError.largestBatch)"
    case .notFinite(let value, let t):
      "the bound's term at t = \(t) is \(value): the network's output is not finite; is the model trained with this variance?"
    case .damagedState(let path, let problem):
      "\(path): not the state of an evaluation: \(problem); remove it to start anew"
    case .otherState(let path, let key, let found, let wanted):
      "\(path) belongs to another evaluation: its \(key) is \(found), not \(wanted); name another file"
    case .tooManyImages(let path, let found, let wanted):
      "\(path) holds \(found) images already; choose --limit \(found) or more, not \(wanted)"
    case .imageIndex(let text, let count): "image '\(text)' of the data: choose 0 to \(count - 1)"
    case .classes(let data, let found, let known):
      "\(data): has \(found == 0 ? "no class labels" : "\(found) classes") and the model asks for one of \(known) classes: "
        + "give it data labelled as what it was trained on"
    case .noLabel(let image): "\(image): has no class label, and the model asks for a class: add --class"
    }
  }
}
