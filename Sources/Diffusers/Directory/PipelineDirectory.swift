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
public struct PipelineDirectory: Equatable, Sendable {
  /// `model_index.json`, or a new one where there was none.
  public var modelIndex: [String: JSONValue]
  /// The network's architecture.
  public var unet: UNetConfig
  /// `unet/config.json` as it was read: the keys that ``unet`` does not know survive a rewrite.
  public var unetJSON: [String: JSONValue]
  /// `scheduler/scheduler_config.json` as it was read; nil where there was none.
  public var schedulerJSON: [String: JSONValue]?

  /// The version of diffusers whose format we write.
  public static let diffusersVersion = "0.42.1"

  static let indexName = "model_index.json"
  package static let configName = "config.json"
  static let weightsName = "diffusion_pytorch_model.safetensors"
  static let schedulerName = "scheduler_config.json"

  /// A new pipeline.
  ///
  /// - Parameter scheduler: The contents of `scheduler_config.json`; its `_class_name` goes into the index.
  public init(unet: UNetConfig, scheduler: [String: JSONValue]) {
    self.unet = unet
    unetJSON = [:]
    schedulerJSON = scheduler
    modelIndex = Self.newIndex(scheduler: scheduler)
  }

  /// Reads the configuration of a pipeline, and maps its weights without reading them.
  ///
  /// - Throws: ``PipelineError``, ``SafetensorsError`` or `FileError`.
  public static func open(_ directory: URL) throws -> (pipeline: PipelineDirectory, weights: SafetensorsFile) {
    let pipeline = try PipelineDirectory(readingConfigurationOf: directory)
    return (pipeline, try SafetensorsFile(contentsOf: weightsURL(in: directory)))
  }

  /// Reads everything but the weights.
  ///
  /// - Throws: ``PipelineError`` or `FileError`.
  public init(readingConfigurationOf directory: URL) throws {
    guard isDirectory(directory) else { throw PipelineError.notADirectory(directory.path) }
    guard let config = Self.find(Self.configName, component: "unet", in: directory) else {
      throw PipelineError.missingFile(
        directory: directory.path, names: ["unet/\(Self.configName)", Self.configName])
    }
    unetJSON = try readObject(config)
    unet = try UNetConfig(json: unetJSON, file: config.path)
    schedulerJSON = try Self.find(Self.schedulerName, component: "scheduler", in: directory).map(readObject)
    let index = directory.appending(path: Self.indexName)
    modelIndex = exists(index) ? try readObject(index) : Self.newIndex(scheduler: schedulerJSON ?? [:])
  }

  /// Writes the pipeline. Every file appears whole or not at all, the index last: a directory with an index is complete.
  ///
  /// - Parameters:
  ///   - weights: Every parameter of the network.
  ///   - precision: How the weights are stored.
  /// - Throws: ``SafetensorsError`` or `FileError`.
  public func write(_ weights: [TensorSource], to directory: URL, precision: WeightPrecision = .f32) throws {
    let unetFolder = directory.appending(path: "unet")
    try makeDirectory(unetFolder)
    try Safetensors.write(weights, to: unetFolder.appending(path: Self.weightsName), precision: precision)
    try writeObject(unet.json(updating: unetJSON), to: unetFolder.appending(path: Self.configName))
    if let schedulerJSON {
      let schedulerFolder = directory.appending(path: "scheduler")
      try makeDirectory(schedulerFolder)
      try writeObject(schedulerJSON, to: schedulerFolder.appending(path: Self.schedulerName))
    }
    try writeObject(modelIndex, to: directory.appending(path: Self.indexName))
  }

  /// Writes the pipeline with weights that are at hand.
  public func write(_ weights: [NamedTensor], to directory: URL, precision: WeightPrecision = .f32) throws {
    try write(weights.map(TensorSource.init), to: directory, precision: precision)
  }

  private static func newIndex(scheduler: [String: JSONValue]) -> [String: JSONValue] {
    [
      "_class_name": "DDPMPipeline",
      "_diffusers_version": .string(diffusersVersion),
      "scheduler": ["diffusers", scheduler["_class_name"] ?? "DDPMScheduler"],
      "unet": ["diffusers", "UNet2DModel"],
    ]
  }
}

// MARK: - Finding files

extension PipelineDirectory {
  /// The file `name` of a component, nested or flat; nil where there is neither.
  private static func find(_ name: String, component: String, in directory: URL) -> URL? {
    [directory.appending(path: component).appending(path: name), directory.appending(path: name)].first(where: exists)
  }

  /// Where the weights are.
  ///
  /// - Throws: ``PipelineError`` where they are absent, pickled or split.
  public static func weightsURL(in directory: URL) throws(PipelineError) -> URL {
    if let url = find(weightsName, component: "unet", in: directory) { return url }
    if let index = find(weightsName + ".index.json", component: "unet", in: directory) {
      throw .shardedWeights(index: index.path, directory: index.deletingLastPathComponent().path)
    }
    if let pickle = find("diffusion_pytorch_model.bin", component: "unet", in: directory) {
      throw .pickledWeights(file: pickle.path, directory: pickle.deletingLastPathComponent().path)
    }
    throw .missingFile(directory: directory.path, names: ["unet/\(weightsName)", weightsName])
  }
}

private func readObject(_ url: URL) throws -> [String: JSONValue] {
  let value: JSONValue
  do { value = try JSONValue(parsing: FileBytes.read(url.path, limit: 1 << 20)) } catch let error as JSONError {
    throw PipelineError.json(file: url.path, error)
  }
  guard let object = value.object else { throw PipelineError.notAnObject(file: url.path, kind: value.kind) }
  return object
}

private func writeObject(_ object: [String: JSONValue], to url: URL) throws {
  try AtomicFile.write(JSONValue.object(object).canonicalText, to: url)
}

private func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

private func isDirectory(_ url: URL) -> Bool {
  var isDirectory = false
  return FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) && isDirectory
}

private func makeDirectory(_ url: URL) throws {
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
}
