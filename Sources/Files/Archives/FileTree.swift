import CArchive

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The files of a folder or of an archive, by name: formats look alike in both.
package struct FileTree: Sendable {
  package struct File: Sendable {
    /// Relative to the folder or archive, parts separated by `/`.
    package let path: String
    fileprivate let content: Content

    package var name: String { path.split(separator: "/").last.map(String.init) ?? path }
  }

  fileprivate enum Content: Sendable {
    case disk(String)
    /// As stored in the archive: still compressed, if its format is (PNG, JPEG).
    case memory([UInt8])
  }

  /// What the user named.
  package let path: String
  package let isArchive: Bool
  /// Sorted by path.
  package var files: [File]
  /// Extensions of files that were passed over, for messages.
  package var ignored: Set<String> = []
  /// Damage that was passed over on request.
  package var damage: [DataError] = []

  /// The bytes of files that are held in memory.
  package var heldByteCount: Int {
    files.reduce(0) { sum, file in
      guard case .memory(let bytes) = file.content else { return sum }
      return sum + bytes.capacity
    }
  }

  /// A file's whole name, for messages.
  package func name(of file: File) -> String { isArchive ? "\(path):\(file.path)" : "\(path)/\(file.path)" }

  /// A file's bytes, or its first `limit`.
  package func read(_ file: File, limit: Int = .max) throws -> [UInt8] {
    switch file.content {
    case .disk(let path): try FileBytes.read(path, limit: limit)
    case .memory(let bytes): limit < bytes.count ? Array(bytes.prefix(limit)) : bytes
    }
  }

  /// Walks a folder. Links are followed; hidden files are not listed.
  package init(folder: String, wanted: (String) -> Bool, isRecursive: Bool = true) throws {
    path = folder
    isArchive = false
    files = []
    // A link to a parent folder would make the walk endless: no sane tree is this deep.
    let deepest = 24
    func walk(_ prefix: String, depth: Int) throws {
      let here = prefix.isEmpty ? folder : "\(folder)/\(prefix)"
      let names: [String]
      do {
        names = try FileManager.default.contentsOfDirectory(atPath: here)
      } catch {
        throw FileError(verb: "read", path: here, code: errno == 0 ? EACCES : errno)
      }
      for name in names where Self.isVisible(name) {
        let path = prefix.isEmpty ? name : "\(prefix)/\(name)"
        var status = stat()
        guard stat("\(folder)/\(path)", &status) == 0 else { continue }
        if status.st_mode & S_IFMT == S_IFDIR {
          if isRecursive && depth < deepest { try walk(path, depth: depth + 1) }
        } else if wanted(path) {
          files.append(File(path: path, content: .disk("\(folder)/\(path)")))
        } else {
          ignored.insert(Self.suffix(of: name))
        }
      }
    }
    try walk("", depth: 0)
    files.sort { $0.path < $1.path }
  }

  /// Reads the wanted files of a .tar, .tar.gz (.bz2, .xz, .zst) or .zip into memory.
  ///
  /// - Parameters:
  ///   - limit: the most bytes to hold.
  ///   - toleratesDamage: keeps what was read before a damaged place, and notes the damage.
  package init(archive path: String, wanted: (String) -> Bool, limit: Int, toleratesDamage: Bool) throws {
    self.path = path
    isArchive = true
    files = []
    // libarchive turns names into the locale's encoding, and loses those it cannot: give this thread one that has them all.
    let utf8 = newlocale(Self.characterTypes, "C.UTF-8", nil) ?? newlocale(Self.characterTypes, "en_US.UTF-8", nil)
    let previous = utf8.map { uselocale($0) }
    defer {
      if let previous { uselocale(previous) }
      if let utf8 { freelocale(utf8) }
    }
    guard let archive = archive_read_new() else { throw FileError(verb: "read", path: path, code: ENOMEM) }
    defer { archive_read_free(archive) }
    archive_read_support_filter_gzip(archive)
    archive_read_support_filter_bzip2(archive)
    archive_read_support_filter_xz(archive)
    archive_read_support_filter_zstd(archive)
    archive_read_support_format_tar(archive)
    archive_read_support_format_zip(archive)

    func failure(_ problem: String) -> DataError {
      let text = archive_error_string(archive).map { String(cString: $0) } ?? "error \(archive_errno(archive))"
      return DataError(.corrupt, file: path, "\(problem): \(text)", remedy: "fetch or pack it again")
    }
    guard archive_read_open_filename(archive, path, 1 << 18) == ARCHIVE_OK else {
      throw failure("no .tar, .tar.gz or .zip archive")
    }
    var held = 0
    var seen: [String: Int] = [:]
    do {
      while true {
        var entry: OpaquePointer?
        let status = archive_read_next_header(archive, &entry)
        if status == ARCHIVE_EOF { break }
        guard status == ARCHIVE_OK || status == ARCHIVE_WARN, let entry else {
          throw failure(seen.isEmpty ? "not a readable archive" : "damaged archive")
        }
        guard archive_entry_filetype(entry) == S_IFREG,
          let text = archive_entry_pathname_utf8(entry) ?? archive_entry_pathname(entry)
        else { continue }
        let name = String(cString: text).split(separator: "/").filter { $0 != "." }.joined(separator: "/")
        guard name.split(separator: "/").allSatisfy({ Self.isVisible(String($0)) }) else { continue }
        guard wanted(name) else {
          ignored.insert(Self.suffix(of: name))
          continue
        }
        var bytes: [UInt8] = []
        // A size in the header is a promise, not a fact.
        bytes.reserveCapacity(min(max(0, Int(archive_entry_size(entry))), 1 << 24))
        var got = 0
        repeat {
          let room = max(4096, min(bytes.capacity - bytes.count, 1 << 24))
          let piece = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            got = archive_read_data(archive, buffer.baseAddress, room)
            count = max(0, got)
          }
          bytes.append(contentsOf: piece)
          if held + bytes.count > limit {
            throw DataError(
              .tooLarge, file: path, "the archive holds more than \(limit >> 20) MiB of data",
              remedy: "unpack it and name the folder")
          }
        } while got > 0
        guard got == 0 else { throw failure("damaged archive at \(name)") }
        held += bytes.count
        // A later entry of the same name replaces the earlier, as when unpacking.
        let file = File(path: name, content: .memory(bytes))
        if let earlier = seen[name] {
          files[earlier] = file
        } else {
          seen[name] = files.count
          files.append(file)
        }
      }
    } catch let error as DataError where toleratesDamage && error.kind == .corrupt && !files.isEmpty {
      damage.append(error)
    }
    files.sort { $0.path < $1.path }
  }

  /// LC_CTYPE_MASK, a macro of casts that Swift does not see on every platform.
  private static let characterTypes = Int32(1) << LC_CTYPE

  private static func isVisible(_ name: String) -> Bool { !name.hasPrefix(".") && name != "__MACOSX" }

  package static func suffix(of name: String) -> String {
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex, !name[dot...].contains("/") else { return "" }
    return name[dot...].lowercased()
  }
}
