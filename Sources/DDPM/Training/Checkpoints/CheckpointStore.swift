import Files
import Networks
import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A folder of checkpoints `step-00001000`, each whole or absent whatever happens to the process.
///
/// A checkpoint is written under a hidden name, file by file to the disk, and then renamed, which is atomic.
public struct CheckpointStore: Sendable {
  /// It need not be there yet.
  public let folder: URL

  /// Touches nothing on the disk.
  public init(_ folder: URL) { self.folder = folder }

  /// Writes a checkpoint with `contents`, which fills the folder it is given.
  ///
  /// - Throws: `FileError`, with the earlier checkpoints as they were.
  @discardableResult
  public func write(step: Int, contents: (URL) throws -> Void) throws -> URL {
    let final = folder.appending(path: Self.name(step))
    let partial = folder.appending(path: ".\(Self.name(step)).partial")
    _ = try CreatedDirectory(folder)
    remove(partial)
    do {
      try makeDirectory(partial)
      try contents(partial)
      AtomicFile.synchronise(folder: partial)
      // A checkpoint of the same step can only be an equal one, from before the run was resumed.
      if FileManager.default.fileExists(atPath: final.path) { remove(final) }
      guard rename(partial.path, final.path) == 0 else {
        throw FileError(verb: "write", path: final.path, code: errno)
      }
    } catch {
      remove(partial)
      throw error
    }
    AtomicFile.synchronise(folder: folder)
    return final
  }

  /// The steps of the finished checkpoints, oldest first.
  public var steps: [Int] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.compactMap(Self.step).sorted()
  }

  /// Where the last one is, for messages; nil where there is none.
  var lastPath: String? { steps.last.map { url(step: $0).path } }

  /// Where the checkpoint of a step is, or would be.
  public func url(step: Int) -> URL { folder.appending(path: Self.name(step)) }

  /// The newest checkpoint that is whole. Where newer ones are damaged, the older one is taken, and a warning says so.
  ///
  /// - Throws: ``TrainingError/nothingToResume(_:)``, or what is wrong with the newest where none is whole.
  func newest(
    network: any Architecture, identity: [String: String]
  ) throws -> (checkpoint: OpenCheckpoint, warning: String?) {
    let steps = steps
    var first: (any Error)?
    for step in steps.reversed() {
      do {
        let checkpoint = try OpenCheckpoint(folder: url(step: step), step: step, network: network, identity: identity)
        return (checkpoint, first.map { "\($0); going on from step \(step) instead" })
      } catch {
        first = first ?? error
      }
    }
    throw first ?? TrainingError.nothingToResume(folder.deletingLastPathComponent().path)
  }

  /// Removes all but the newest `count`, and what killed processes left behind.
  public func prune(keeping count: Int) {
    for step in steps.dropLast(count) {
      // Hidden first, so that a kill in the middle leaves no half checkpoint under a good name.
      let hidden = folder.appending(path: ".\(Self.name(step)).partial")
      remove(hidden)
      if rename(url(step: step).path, hidden.path) == 0 { remove(hidden) }
    }
  }

  /// Removes partial checkpoints of killed processes. Call it only where nobody else is writing.
  public func removeLeftovers() {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    for name in names where name.hasPrefix(".") && name.hasSuffix(".partial") { remove(folder.appending(path: name)) }
  }

  static func name(_ step: Int) -> String { "step-" + Text.zeroPadded(step, 8) }

  private static func step(_ name: String) -> Int? { name.hasPrefix("step-") ? Int(name.dropFirst(5)) : nil }

  private func makeDirectory(_ url: URL) throws {
    guard mkdir(url.path, 0o777) == 0 else { throw FileError(verb: "write", path: url.path, code: errno) }
  }

  private func remove(_ url: URL) { try? FileManager.default.removeItem(at: url) }
}
