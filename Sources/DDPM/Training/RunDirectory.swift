import Datasets

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What a run leaves behind: a diffusers pipeline, with everything else beside it.
///
/// ```
/// model_index.json, unet/, scheduler/    the model; its weights are the average
/// training.json                          the whole configuration
/// metrics.jsonl, loss.png, loss.svg      the curves
/// samples/step-00001000.png              drawn from the average with a fixed seed
/// checkpoints/step-00001000/             raw weights, moments, average: to resume from
/// tensorboard/                           event files
/// ```
public struct RunDirectory: Sendable {
  public let url: URL

  public init(_ url: URL) { self.url = url }

  public var configuration: URL { url.appending(path: "training.json") }
  public var metrics: URL { url.appending(path: "metrics.jsonl") }
  public var samples: URL { url.appending(path: "samples") }
  public var tensorBoard: URL { url.appending(path: "tensorboard") }
  public var checkpoints: CheckpointStore { CheckpointStore(url.appending(path: "checkpoints")) }

  private static let contents = [
    "model_index.json", "unet", "scheduler", "training.json", "metrics.jsonl", "samples", "tensorboard", "checkpoints",
    "loss.png", "loss.svg",
  ]

  /// Whether there is a run or a model in it already.
  public var isUsed: Bool {
    Self.contents.contains { FileManager.default.fileExists(atPath: url.appending(path: $0).path) }
  }

  /// Removes an earlier run, and nothing else that may lie in the folder.
  func clear() throws {
    // The checkpoints last: until then the earlier run can still be resumed.
    for name in Self.contents.filter({ $0 != "checkpoints" }) + ["checkpoints"] {
      let item = url.appending(path: name)
      if FileManager.default.fileExists(atPath: item.path) { try FileManager.default.removeItem(at: item) }
    }
  }

  func create() throws {
    for folder in [url, samples, tensorBoard, checkpoints.folder] {
      do { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) } catch {
        throw ConfigurationError("cannot create the folder \(folder.path): choose an --out that you may write")
      }
    }
  }

  func write(_ configuration: TrainingConfiguration) throws {
    try AtomicFile.write(JSONValue.object(configuration.object).canonicalText, to: self.configuration)
  }

  /// The configuration of the run that is here.
  ///
  /// - Throws: ``TrainingError/nothingToResume(_:)``, or what is wrong with `training.json`.
  public func readConfiguration() throws -> TrainingConfiguration {
    guard FileManager.default.fileExists(atPath: configuration.path) else {
      throw TrainingError.nothingToResume(url.path)
    }
    let (_, object) = try TrainingConfiguration.readFile(configuration)
    return try TrainingConfiguration(over: TrainingConfiguration(), layers: [(configuration.path, object)])
  }

  func picture(step: Int) -> URL { samples.appending(path: "\(CheckpointStore.name(step)).png") }
}
