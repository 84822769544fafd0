import Files
import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What a run leaves behind: a diffusers pipeline, with everything else beside it.
///
/// ```
/// model_index.json, unet/, scheduler/    the model; its weights are the average
/// ddpm.json                              the classes' names, and what else the model's condition means
/// training.json                          the whole configuration
/// metrics.jsonl, loss.png, loss.svg      the curves
/// samples/step-00001000.png              drawn from the average with a fixed seed
/// checkpoints/step-00001000/             raw weights, moments, average: to resume from
/// tensorboard/                           event files
/// profile.json                           with --profile: the time of each operator, as a Chrome trace
/// ```
public struct RunDirectory: Sendable {
  /// The directory itself.
  public let url: URL

  /// Touches nothing on the disk.
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

  /// The names of everything that a run writes and that is in the folder `root`, be it a run's or anybody else's.
  private func contents(of root: URL) -> [String] {
    func names(_ folder: String) -> [String] {
      (try? FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path)) ?? []
    }
    var files = ["model_index.json", "ddpm.json", "training.json"]
    files += ["metrics.jsonl", "loss.png", "loss.svg", "profile.json", "scheduler/scheduler_config.json"]
    files += ["unet", "mlp"].flatMap { ["\($0)/config.json", "\($0)/diffusion_pytorch_model.safetensors"] }
    files += names("samples").filter { $0.hasPrefix("step-") && $0.hasSuffix(".png") }.map { "samples/\($0)" }
    files += names("tensorboard").filter { $0.hasPrefix("events.out.tfevents.") }.map { "tensorboard/\($0)" }
    // The checkpoints last: until then an earlier run can still be resumed.
    files += CheckpointStore(root.appending(path: "checkpoints")).steps.map {
      "checkpoints/\(CheckpointStore.name($0))"
    }
    return files.filter { exists(root.appending(path: $0)) }
  }

  /// Whether there is anything that a new run would overwrite. What a start that was killed left behind does not count.
  public var isUsed: Bool { !isHalfBorn && !contents(of: url).isEmpty }

  /// What is in the way of a new run, the first of it.
  var firstObstacle: String? { contents(of: url).first }

  // MARK: Birth

  /// Stands in the folder from a run's first file until it can be resumed.
  private var birthMark: URL { url.appending(path: ".ddpm-birth") }
  /// Where the files of the run lie that is being replaced, until the new one can be resumed.
  private var aside: URL { url.appending(path: ".ddpm-replaced") }
  /// Where they lie then, until they are removed.
  private var refuse: URL { url.appending(path: ".ddpm-refuse") }

  private var isHalfBorn: Bool { exists(birthMark) }

  /// Begins a new run: what `replaces` is set aside, not removed, until ``endBirth()``.
  func beginBirth(replacing: Bool) throws {
    if replacing {
      for name in contents(of: url) { try move(name, from: url, to: aside) }
      AtomicFile.synchronise(folder: aside)
    }
    try AtomicFile.write("", to: birthMark)
  }

  /// The run can be resumed: what it replaced goes.
  func endBirth() throws {
    // The one step that decides: until then the earlier run comes back, from then on the new one stays.
    if exists(aside) { try move(aside, to: refuse) }
    AtomicFile.synchronise(folder: url)
    clean()
  }

  /// Mends what a kill in the middle of a birth left: the half-born run goes, and the run that it was to replace comes back.
  func undoHalfBirth() throws {
    let isDecided = exists(refuse) || (!exists(aside) && exists(configuration))
    if exists(birthMark), !isDecided {
      for name in contents(of: url) { try FileManager.default.removeItem(at: url.appending(path: name)) }
    }
    if !isDecided { for name in contents(of: aside) { try move(name, from: aside, to: url) } }
    clean()
  }

  /// Mends what a killed start left, where it left anything: before a run's files are read.
  ///
  /// - Throws: `RunLockError` naming who trains there, or `FileError`.
  public func recover() throws {
    guard isHalfBorn || exists(aside) else { return }
    _ = try RunHold(url, makesFolder: false)
  }

  /// Removes all that a birth needs. The mark first: without it what is there is a run.
  private func clean() {
    for item in [birthMark, refuse, aside] { try? FileManager.default.removeItem(at: item) }
  }

  private func move(_ name: String, from: URL, to: URL) throws {
    let target = to.appending(path: name)
    _ = try CreatedDirectory(target.deletingLastPathComponent())
    try move(from.appending(path: name), to: target)
  }

  private func move(_ item: URL, to target: URL) throws(FileError) {
    guard rename(item.path, target.path) == 0 else { throw FileError(verb: "move", path: item.path, code: errno) }
  }

  private func exists(_ url: URL) -> Bool { FileManager.default.fileExists(atPath: url.path) }

  // MARK: Files

  func create() throws {
    for folder in [samples, tensorBoard, checkpoints.folder] { _ = try CreatedDirectory(folder) }
  }

  /// Removes what killed processes left half written. Only where this process alone writes.
  func removeLeftovers() {
    checkpoints.removeLeftovers()
    for folder in ["", "samples", "unet", "mlp", "scheduler"] {
      AtomicFile.removeLeftovers(in: url.appending(path: folder))
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
