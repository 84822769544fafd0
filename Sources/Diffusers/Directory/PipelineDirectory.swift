import Files
import Networks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A diffusers pipeline on disk: what `DDPMPipeline.from_pretrained` reads and `save_pretrained` writes.
///
/// ```
/// model_index.json
/// unet/config.json
/// unet/diffusion_pytorch_model.safetensors
/// scheduler/scheduler_config.json
/// ```
///
/// Older repositories are flat (`config.json`, `diffusion_pytorch_model.safetensors` and `scheduler_config.json` side by
/// side); both are read, and the nested one is written.
public struct PipelineDirectory: Sendable {
  /// `model_index.json`, or a new one where there was none.
  public var modelIndex: [String: JSONValue]
  /// The network's architecture.
  public var network: any StoredArchitecture
  /// The network's `config.json` as it was read: the keys that ``network`` does not know survive a rewrite.
  public var networkJSON: [String: JSONValue]
  /// `scheduler/scheduler_config.json` as it was read; nil where there was none.
  public var schedulerJSON: [String: JSONValue]?
  /// What its condition means.
  public var card: ModelCard

  /// The version of diffusers whose format we write.
  public static let diffusersVersion = "0.42.1"

  static let indexName = "model_index.json"
  package static let configName = "config.json"
  static let weightsName = "diffusion_pytorch_model.safetensors"
  static let schedulerName = "scheduler_config.json"
  /// Far beyond any configuration; a file that is larger is none.
  static let largestConfiguration = 64 << 20

  /// A new pipeline.
  ///
  /// - Parameter scheduler: The contents of `scheduler_config.json`; its `_class_name` goes into the index.
  public init(network: any StoredArchitecture, scheduler: [String: JSONValue], card: ModelCard = ModelCard()) {
    self.network = network
    self.card = card
    networkJSON = [:]
    schedulerJSON = scheduler
    modelIndex = Self.newIndex(network: network, scheduler: scheduler)
  }

  /// Reads the configuration of a pipeline, and maps its weights without reading them.
  ///
  /// - Throws: ``PipelineError``, `SafetensorsError` or `FileError`.
  public static func open(_ directory: URL) throws -> (pipeline: PipelineDirectory, weights: SafetensorsFile) {
    let pipeline = try PipelineDirectory(readingConfigurationOf: directory)
    return (pipeline, try weights(in: directory))
  }

  /// Reads everything but the weights.
  ///
  /// - Throws: ``PipelineError`` or `FileError`.
  public init(readingConfigurationOf directory: URL) throws {
    guard isDirectory(directory) else { throw PipelineError.notADirectory(directory.path) }
    guard let config = Self.find(Self.configName, in: directory) else {
      throw PipelineError.missingFile(
        directory: directory.path, names: ["unet/\(Self.configName)", Self.configName])
    }
    networkJSON = try readObject(config)
    let kind = try StoredArchitectures.named(networkJSON["_class_name"]?.string, file: config.path)
    let card = directory.appending(path: ModelCard.fileName)
    self.card = exists(card) ? try ModelCard(json: readObject(card), file: card.path) : ModelCard()
    var network: any StoredArchitecture = try kind.init(json: networkJSON, file: config.path)
    // A picture of x_t's own channels is shown beside it.
    if self.card.pictures != nil, var unet = network as? UNetConfig {
      guard unet.inChannels.isMultiple(of: 2) else {
        throw PipelineError.value(
          file: config.path, key: "in_channels", found: "\(unet.inChannels)",
          wanted: "a network that is shown a picture beside x_t has twice as many as x_t")
      }
      unet.pictureChannels = unet.inChannels / 2
      network = unet
    }
    self.network = network
    schedulerJSON =
      try Self.find(Self.schedulerName, components: ["scheduler"], in: directory).map(readObject)
    let index = directory.appending(path: Self.indexName)
    modelIndex =
      exists(index) ? try readObject(index) : Self.newIndex(network: network, scheduler: schedulerJSON ?? [:])
    if let nullClass = self.card.nullClass, nullClass != (network.classRows ?? 0) - 1 || nullClass < 1 {
      throw PipelineError.value(
        file: card.path, key: "null_class", found: "\(nullClass)",
        wanted: "the null class is the last of the class table's \(network.classRows ?? 0) rows")
    }
  }

  /// Writes the pipeline. Every file appears whole or not at all, the index last: a directory with an index is complete.
  ///
  /// - Parameters:
  ///   - weights: Every parameter of the network.
  ///   - precision: How the weights are stored.
  ///   - isChecksummed: Whether the weights carry a checksum, which diffusers passes over; without one the bytes are diffusers' own.
  /// - Throws: `SafetensorsError` or `FileError`.
  public func write(
    _ weights: [TensorSource], to directory: URL, precision: WeightPrecision = .f32, isChecksummed: Bool = false
  ) throws {
    let networkFolder = directory.appending(path: type(of: network).component)
    _ = try CreatedDirectory(networkFolder)
    try Safetensors.write(
      weights, to: networkFolder.appending(path: Self.weightsName), precision: precision, isChecksummed: isChecksummed)
    try writeObject(network.json(updating: networkJSON), to: networkFolder.appending(path: Self.configName))
    if let schedulerJSON {
      let schedulerFolder = directory.appending(path: "scheduler")
      _ = try CreatedDirectory(schedulerFolder)
      try writeObject(schedulerJSON, to: schedulerFolder.appending(path: Self.schedulerName))
    }
    if !card.isEmpty { try writeObject(card.json, to: directory.appending(path: ModelCard.fileName)) }
    try writeObject(modelIndex, to: directory.appending(path: Self.indexName))
  }

  /// Writes the pipeline with weights that are at hand.
  public func write(_ weights: [NamedTensor], to directory: URL, precision: WeightPrecision = .f32) throws {
    try write(weights.map(TensorSource.init), to: directory, precision: precision)
  }

  private static func newIndex(
    network: any StoredArchitecture, scheduler: [String: JSONValue]
  ) -> [String: JSONValue] {
    let kind = type(of: network)
    return [
      "_class_name": "DDPMPipeline",
      "_diffusers_version": .string(diffusersVersion),
      "scheduler": ["diffusers", scheduler["_class_name"] ?? "DDPMScheduler"],
      kind.component: [.string(kind.library), .string(kind.className)],
    ]
  }
}

// MARK: - Finding files

extension PipelineDirectory {
  /// The file `name` of one of some components (those of networks), nested or flat; nil where there is none.
  static func find(
    _ name: String, components: [String] = StoredArchitectures.all.map { $0.component }, in directory: URL
  ) -> URL? {
    (components.map { directory.appending(path: $0) } + [directory]).map { $0.appending(path: name) }.first(
      where: exists)
  }
}

func readObject(_ url: URL) throws -> [String: JSONValue] {
  let value: JSONValue
  do {
    value = try JSONValue(parsing: FileBytes.read(url.path, limit: PipelineDirectory.largestConfiguration))
  } catch let error as JSONError {
    throw PipelineError.json(file: url.path, error)
  }
  guard let object = value.object else { throw PipelineError.notAnObject(file: url.path, kind: value.kind) }
  return object
}

private func writeObject(_ object: [String: JSONValue], to url: URL) throws {
  try AtomicFile.write(JSONValue.object(object).canonicalText, to: url)
}

func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

private func isDirectory(_ url: URL) -> Bool {
  var isDirectory = false
  return FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) && isDirectory
}
