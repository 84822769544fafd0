#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What the files of a folder hold: the size and CRC32C of each, and what the folder belongs to. It finds damage, not forgery.
///
/// ```swift
/// try Manifest(of: folder, files: ["state.json", "moments.safetensors"], identity: ["data": hash]).write()
/// …
/// let manifest = try Manifest(readingFrom: folder)
/// try manifest.verify(identity: ["data": hash])        // names the first file that differs
/// ```
package struct Manifest: Equatable, Sendable {
  package struct Entry: Equatable, Sendable {
    package let size: Int
    package let checksum: UInt32

    package init(size: Int, checksum: UInt32) { (self.size, self.checksum) = (size, checksum) }
  }

  package static let fileName = "manifest.json"
  /// The bytes that a manifest may have, and a file that it speaks of.
  private static let largest = 1 << 20, largestFile = 1 << 40

  package let folder: URL
  /// By name; `/` separates the parts of a path inside the folder.
  package let files: [String: Entry]
  /// Whatever must be the same when the folder is used again, by what it is called: `configuration`, `data`.
  package let identity: [String: String]

  /// Reads the files as they are.
  ///
  /// - Throws: `FileError`.
  package init(of folder: URL, files names: [String], identity: [String: String] = [:]) throws(FileError) {
    var files: [String: Entry] = [:]
    for name in names {
      precondition(Self.isInside(name), "\(name) is not inside the folder")
      let found = try CRC32C.checksum(ofFile: folder.appending(path: name).path, limit: Self.largestFile)
      files[name] = Entry(size: found.size, checksum: found.checksum)
    }
    (self.folder, self.files, self.identity) = (folder, files, identity)
  }

  /// Reads what ``write()`` wrote.
  ///
  /// - Throws: ``ManifestError`` where the manifest itself is damaged, `FileError` where it cannot be read.
  package init(readingFrom folder: URL) throws {
    let path = folder.appending(path: Self.fileName).path
    func damaged(_ problem: String) -> ManifestError { ManifestError(file: path, problem: .damaged(problem)) }
    let root: JSONValue
    do { root = try JSONValue(parsing: FileBytes.read(path, limit: Self.largest)) } catch let error as JSONError {
      throw damaged(error.description)
    }
    guard let content = root.object?["content"], let checksum = root.object?["crc32c"]?.string else {
      throw damaged("it should hold content and crc32c")
    }
    guard checksum == Self.text(CRC32C.checksum(Array(content.compactText.utf8))) else {
      throw damaged("its own checksum differs")
    }
    var files: [String: Entry] = [:]
    for (name, value) in content.object?["files"]?.object ?? [:] {
      guard Self.isInside(name), let size = value.object?["size"]?.integer,
        let checksum = value.object?["crc32c"]?.string.flatMap({ UInt32($0, radix: 16) })
      else { throw damaged("it says nothing that can be checked of \(quoted(name))") }
      files[name] = Entry(size: size, checksum: checksum)
    }
    let identity = content.object?["identity"]?.object?.compactMapValues(\.string) ?? [:]
    (self.folder, self.files, self.identity) = (folder, files, identity)
  }

  /// Writes it into its folder, whole or not at all.
  ///
  /// - Throws: `FileError`.
  package func write() throws {
    let entries = files.mapValues {
      ["size": .integer($0.size), "crc32c": .string(Self.text($0.checksum))] as JSONValue
    }
    let content: JSONValue = [
      "files": .object(entries), "identity": .object(identity.mapValues { .string($0) }),
    ]
    let checksum = Self.text(CRC32C.checksum(Array(content.compactText.utf8)))
    let root: JSONValue = ["content": content, "crc32c": .string(checksum)]
    try AtomicFile.write(root.canonicalText, to: folder.appending(path: Self.fileName))
  }

  /// Reads every file and holds it against what it was.
  ///
  /// - Parameter wanted: What the folder should belong to; keys that it does not name are not looked at.
  /// - Throws: ``ManifestError`` naming the first difference, in the order of the names.
  package func verify(identity wanted: [String: String] = [:]) throws(ManifestError) {
    for (key, value) in wanted.sorted(by: { $0.key < $1.key }) where identity[key] != value {
      throw ManifestError(file: folder.path, problem: .identity(key: key, expected: value, found: identity[key]))
    }
    for (name, entry) in files.sorted(by: { $0.key < $1.key }) {
      let path = folder.appending(path: name).path
      let found: Entry
      do throws(FileError) {
        let (size, checksum) = try CRC32C.checksum(ofFile: path, limit: Self.largestFile)
        found = Entry(size: size, checksum: checksum)
      } catch {
        throw ManifestError(file: path, problem: .unreadable(error))
      }
      guard found.size == entry.size else {
        throw ManifestError(file: path, problem: .size(expected: entry.size, found: found.size))
      }
      guard found.checksum == entry.checksum else {
        throw ManifestError(file: path, problem: .checksum(expected: entry.checksum, found: found.checksum))
      }
    }
  }

  package static func text(_ checksum: UInt32) -> String {
    let digits = String(checksum, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }

  private static func isInside(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
  }
}

/// A folder is not what its manifest says.
package struct ManifestError: Error, Equatable, CustomStringConvertible {
  /// The file that differs first.
  package let file: String
  package let problem: Problem

  package init(file: String, problem: Problem) { (self.file, self.problem) = (file, problem) }

  package enum Problem: Equatable, Sendable {
    /// The manifest itself.
    case damaged(String)
    case unreadable(FileError)
    case size(expected: Int, found: Int)
    case checksum(expected: UInt32, found: UInt32)
    case identity(key: String, expected: String, found: String?)
  }

  package var description: String {
    let text =
      switch problem {
      case .damaged(let problem): "\(file): the manifest is damaged: \(problem)"
      case .unreadable(let error): error.description
      case .size(let expected, let found): "\(file): it has \(found) bytes, and \(expected) were written"
      case .checksum(let expected, let found):
        "\(file): damaged: its CRC32C is \(Manifest.text(found)), and \(Manifest.text(expected)) was written"
      case .identity(let key, let expected, let found):
        "\(file): it belongs to another \(key): \(found.map(quoted) ?? "it names none"), where \(quoted(expected)) is wanted"
      }
    return text.onOneLine
  }
}
