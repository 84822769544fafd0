import Files

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
/// profile.json                           with --profile: the time of each operator, as a Chrome trace
/// tuning/                                the algorithms that were chosen by timing, so that a resumed run makes the same choices
/// ```
public struct RunDirectory: Sendable {
  /// The directory itself.
  public let url: URL

  public init(_ url: URL) { self.url = url }

  /// `training.json`.
  public var configuration: URL { url.appending(path: "training.json") }
  /// `metrics.jsonl`.
  public var metrics: URL { url.appending(path: "metrics.jsonl") }
  /// `samples/`.
  public var samples: URL { url.appending(path: "samples") }
  /// `tensorboard/`.
  public var tensorBoard: URL { url.appending(path: "tensorboard") }
  /// `checkpoints/`.
  public var checkpoints: CheckpointStore { CheckpointStore(url.appending(path: "checkpoints")) }

  /// Whether there is a run or a model in it already.
  public var isUsed: Bool {
    ["model_index.json", "training.json", "unet"].contains { exists(url.appending(path: $0)) }
      || !checkpoints.steps.isEmpty
  }

  /// Removes an earlier run: the files that a run writes, and nothing else that may lie beside them. `tuning/` stays: what was timed is as
  /// true of the next run.
  func clear() throws {
    var files = ["model_index.json", "training.json", "metrics.jsonl", "loss.png", "loss.svg", "profile.json"]
    files += ["unet", "mlp"].flatMap { ["\($0)/config.json", "\($0)/diffusion_pytorch_model.safetensors"] }
    files.append("ddpm.json")
    files.append("scheduler/scheduler_config.json")
    files += names(in: samples).filter { $0.hasPrefix("step-") && $0.hasSuffix(".png") }.map { "samples/\($0)" }
    files += names(in: tensorBoard).filter { $0.hasPrefix("events.out.tfevents.") }.map { "tensorboard/\($0)" }
    // The checkpoints last: until then the earlier run can still be resumed.
    files += checkpoints.steps.map { "checkpoints/\(CheckpointStore.name($0))" }
    for file in files.map({ url.appending(path: $0) }) where exists(file) {
      try FileManager.default.removeItem(at: file)
    }
  }

  /// Removes what killed processes left half written. Only where this process alone writes.
  func removeLeftovers() {
    checkpoints.removeLeftovers()
    for folder in ["", "samples", "unet", "mlp", "scheduler"] {
      AtomicFile.removeLeftovers(in: url.appending(path: folder))
    }
  }

  private func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

  private func names(in folder: URL) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
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
