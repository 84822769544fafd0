import Files
import Pictures
import Ranks

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A folder with one picture a sample, `00000.png` and so on, that is filled as samples are drawn. A request that was stopped goes on
/// where it was: what is there already is not drawn again.
public struct SampleFolder {
  /// Where the pictures are.
  public let url: URL
  /// The folder is this process's alone while a copy lives, or its ranks'.
  private let lock: RunLock?

  /// Opens or makes the folder.
  ///
  /// - Parameter identity: what decides the pictures; a folder that was begun with another is refused.
  /// - Parameter ranks: who draws into it together: what follows is the first's to do, and the others agree with it.
  /// - Throws: ``SampleFolderError``, or `FileError`.
  public init(_ url: URL, identity: [String: JSONValue], ranks: any Communicator = Alone()) throws {
    self.url = url
    try ranks.agree(on: "model or request", JSONValue.object(identity).compactText)
    guard ranks.isFirst else {
      lock = nil
      return
    }
    _ = try CreatedDirectory(url)
    lock = try RunLock(url, command: "sampling")
    AtomicFile.removeLeftovers(in: url)
    let record = url.appending(path: Self.record)
    guard FileManager.default.fileExists(atPath: record.path) else {
      try AtomicFile.write(JSONValue.object(identity).canonicalText, to: record)
      return
    }
    let found = try? JSONValue(parsing: FileBytes.read(record.path, limit: 1 << 20)).object
    for (key, wanted) in identity.sorted(by: { $0.key < $1.key }) where found?[key] != wanted {
      throw SampleFolderError.other(
        url.path, key: key, found: (found?[key] ?? .null).compactText, wanted: wanted.compactText)
    }
  }

  /// The samples of `range` that are not there yet, as runs of neighbours.
  public func missing(in range: Range<Int>) -> [Range<Int>] {
    let names = Set((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? [])
    var runs: [Range<Int>] = []
    for i in range where !names.contains(Self.name(i)) {
      if let last = runs.last, last.upperBound == i {
        runs[runs.count - 1] = last.lowerBound..<i + 1
      } else {
        runs.append(i..<i + 1)
      }
    }
    return runs
  }

  /// The samples of `range` that are not there yet and are drawn by this rank, as runs of neighbours: an equal share of them.
  ///
  /// - Returns: them, and how many of all are there already.
  public func share(
    of range: Range<Int>, _ ranks: any Communicator
  ) throws -> (missing: [Range<Int>], found: Int) {
    let missing = ranks.isFirst ? self.missing(in: range) : []
    let said = try ranks.gather(missing.map { "\($0.lowerBound) \($0.upperBound)" }.joined(separator: ","))
    let all = said[0].split(separator: ",").map { run in
      let bounds = run.split(separator: " ").compactMap { Int($0) }
      return bounds[0]..<bounds[1]
    }
    let count = all.reduce(0) { $0 + $1.count }
    let mine = Range(shareOf: count, rank: ranks.rank, of: ranks.count)
    // Positions among the missing, run by run.
    var before = 0
    let share = all.compactMap { run -> Range<Int>? in
      defer { before += run.count }
      let part = (mine.lowerBound - before..<mine.upperBound - before).clamped(to: 0..<run.count)
      return part.isEmpty ? nil : run.lowerBound + part.lowerBound..<run.lowerBound + part.upperBound
    }
    return (share, range.count - count)
  }

  /// Writes a finished batch, each file whole or not at all.
  public func write(_ samples: Samples) throws {
    for (i, picture) in zip(samples.range, samples.pictures) {
      try picture.writePNG(to: url.appending(path: Self.name(i)))
    }
  }

  /// What the file of sample i is called.
  package static func name(_ i: Int) -> String { Text.zeroPadded(i, 5) + ".png" }

  /// Hidden, so that tools that read all of a folder's pictures see nothing else.
  private static let record = ".ddpm-samples.json"
}

/// A folder that samples cannot go to.
public enum SampleFolderError: Error, Equatable, Sendable, CustomStringConvertible {
  case other(String, key: String, found: String, wanted: String)

  public var description: String {
    switch self {
    case .other(let path, let key, let found, let wanted):
      "\(path) holds samples of another request: their \(key) is \(found), not \(wanted); name another folder".onOneLine
    }
  }
}
