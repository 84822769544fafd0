/// The files of a folder or of an archive, by name: formats look alike in both.
package struct FileTree: Sendable {
  package struct File: Sendable {
    /// Relative to the folder or archive, parts separated by `/`.
    package let path: String
    let content: Content

    package var name: String { path.split(separator: "/").last.map(String.init) ?? path }
  }

  enum Content: Sendable {
    case disk(String)
    /// As stored in the archive: still compressed, if its format is (PNG, JPEG).
    case memory([UInt8])
  }

  /// What the user named.
  package let path: String
  package let isArchive: Bool
  /// Sorted by path.
  package var files: [File] = []
  /// Files that were passed over because of their names, counted by suffix in lower case; "" is for those without one.
  package var ignored: [String: Int] = [:]
  /// Files that were passed over although they were wanted, with the reason.
  package private(set) var skipped: [DataError] = []

  /// More skipped files are not noted: a hostile archive has as many as it likes.
  private static let mostSkipped = 10_000

  /// The bytes of files that are held in memory.
  package var heldByteCount: Int {
    files.reduce(0) { sum, file in
      guard case .memory(let bytes) = file.content else { return sum }
      return sum + bytes.capacity
    }
  }

  /// A file's whole name, for messages.
  package func name(of file: File) -> String { isArchive ? "\(path):\(file.path)" : "\(path)/\(file.path)" }

  /// A file's bytes.
  ///
  /// - Parameter limit: The most that a file of this kind may have.
  /// - Throws: ``FileError`` from a folder; what an archive held was bounded when it was read.
  package func read(_ file: File, limit: Int) throws(FileError) -> [UInt8] {
    switch file.content {
    case .disk(let path): try FileBytes.read(path, limit: limit)
    case .memory(let bytes): bytes
    }
  }

  /// A file's first bytes.
  package func prefix(_ file: File, _ count: Int) throws(FileError) -> [UInt8] {
    switch file.content {
    case .disk(let path): try FileBytes.prefix(path, count)
    case .memory(let bytes): Array(bytes.prefix(count))
    }
  }

  /// The extension of a file's name in lower case, with its dot.
  package static func suffix(of name: String) -> String {
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex, !name[dot...].contains("/") else { return "" }
    return name[dot...].lowercased()
  }

  mutating func skip(_ error: DataError) { if skipped.count < Self.mostSkipped { skipped.append(error) } }

  mutating func ignore(_ name: String) {
    let suffix = Self.suffix(of: name)
    // What comes after a point need not be an extension, and a hostile archive has as many as it likes.
    let isKnown = ignored[suffix] != nil || (suffix.count <= 12 && ignored.count < 100)
    ignored[isKnown ? suffix : "", default: 0] += 1
  }

  /// Hidden files, and what macOS puts into archives, are no data.
  static func isVisible(_ name: some StringProtocol) -> Bool { !name.hasPrefix(".") && name != "__MACOSX" }
}
