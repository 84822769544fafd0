import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The door that every file is written through: a file appears whole or not at all.
///
/// Bytes go to a hidden temporary file in the same folder; ``commit()`` forces them to the disk and renames the file into place,
/// which POSIX makes atomic. A crash, a full disk or a `kill -9` at any moment leaves the old file as it was.
/// A file that is never committed vanishes with the value.
///
/// A file that is replaced hands on its mode and, where the system allows, its owner. A symbolic link stays, and what it leads to
/// is replaced. FIFOs and character devices (`/dev/null`, `/dev/stdout`) are written directly, and never replaced.
///
/// ```swift
/// try AtomicFile.write(png, to: url)          // at once
///
/// let file = try AtomicFile(url)              // or piece by piece
/// try file.write(contentsOf: header)
/// try file.write(contentsOf: body)
/// try file.commit()
/// ```
public final class AtomicFile {
  /// Where the file will appear.
  public let url: URL
  private let output: OutputDescriptor
  /// The temporary file and the path it will have; nil where bytes go to a device directly.
  private let renaming: (temporary: String, final: String)?

  /// Whether a file could be written there, before hours are spent on what goes into it. Nothing is made or opened.
  ///
  /// - Throws: ``FileError`` when its folder is missing, or it may not be written.
  public static func check(_ url: URL) throws(FileError) {
    let place: String? =
      switch try Destination(url.path) {
      case .file(let path, _): Destination.folder(of: path)
      case .device(let path): path
      case .descriptor: nil
      }
    if let place, access(place, W_OK) != 0 { throw FileError(verb: "write", path: url.path, code: errno) }
  }

  /// Opens a temporary file beside `url`, or the device that it names.
  ///
  /// - Throws: ``FileError`` when its folder is missing, or it may not be written.
  public init(_ url: URL) throws {
    self.url = url
    switch try Destination(url.path) {
    case .file(let path, let existing):
      let temporary = try Self.temporaryFile(for: path, named: url.path)
      renaming = (temporary.path, path)
      output = OutputDescriptor(temporary.descriptor, path: url.path)
      if let existing { try keep(existing) }
    case .device(let path):
      renaming = nil
      output = try OutputDescriptor(opening: path, flags: 0)
    case .descriptor(let number):
      renaming = nil
      let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
      guard copy >= 0 else { throw FileError(verb: "write", path: url.path, code: errno) }
      output = OutputDescriptor(copy, path: url.path)
    }
  }

  deinit { discard() }

  /// Appends bytes.
  ///
  /// - Throws: ``FileError``; the temporary file is then gone, and the old file intact.
  public func write(contentsOf bytes: UnsafeRawBufferPointer) throws {
    precondition(output.number >= 0, "AtomicFile for \(url.path) was already committed or had failed")
    do { try output.write(bytes) } catch {
      discard()
      throw error
    }
  }

  /// Whether a file is made, and not a device written to.
  var isReplacing: Bool { renaming != nil }

  /// Writes over what was written from byte `offset` on.
  ///
  /// - Throws: ``FileError``, as ``write(contentsOf:)`` does.
  func overwrite(_ bytes: [UInt8], at offset: Int) throws {
    precondition(isReplacing && output.number >= 0, "\(url.path) cannot be gone back to")
    do { try output.write(bytes, at: offset) } catch {
      discard()
      throw error
    }
  }

  /// Appends an array's elements, as they lie in memory.
  public func write<Element: BitwiseCopyable>(contentsOf elements: [Element]) throws {
    try elements.withUnsafeBytes { try write(contentsOf: $0) }
  }

  /// Appends text in UTF-8.
  public func write(contentsOf text: String) throws { try write(contentsOf: Array(text.utf8)) }

  /// Forces the bytes to the disk and puts the file in its place.
  ///
  /// - Throws: ``FileError``; the old file is then intact.
  public func commit() throws {
    precondition(output.number >= 0, "AtomicFile for \(url.path) was already committed or had failed")
    do {
      try output.synchronise()
      if let renaming, rename(renaming.temporary, renaming.final) != 0 { throw output.failure(errno) }
      // Closed last, because its lock says that the temporary file is in use.
      try output.close()
    } catch {
      discard()
      throw error
    }
    // The rename itself must reach the disk; some file systems refuse fsync on a folder, and then nothing is lost but time.
    if let renaming { Self.synchronise(folder: URL(filePath: Destination.folder(of: renaming.final))) }
  }

  /// Writes all bytes to `url`, whole or not at all.
  public static func write(_ bytes: [UInt8], to url: URL) throws {
    let file = try AtomicFile(url)
    try file.write(contentsOf: bytes)
    try file.commit()
  }

  /// Writes text in UTF-8 to `url`, whole or not at all.
  public static func write(_ text: String, to url: URL) throws { try write(Array(text.utf8), to: url) }

  /// Forces a folder's entries (new and renamed files) to the disk.
  public static func synchronise(folder: URL) {
    let descriptor = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }

  /// Hands the old file's owner and mode on to the new one.
  private func keep(_ old: stat) throws {
    // Renaming asks for rights on the folder alone; a file that may not be written is not replaced either.
    if let path = renaming?.final, faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0 { throw output.failure(errno) }
    var new = stat()
    guard fstat(output.number, &new) == 0 else { throw output.failure(errno) }
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid) {
      // Only the system's administrator may give files away; the group may be kept by its members.
      if fchown(output.number, old.st_uid, old.st_gid) != 0 { _ = fchown(output.number, .max, old.st_gid) }
    }
    guard fchmod(output.number, old.st_mode & 0o777) == 0 else { throw output.failure(errno) }
  }

  private func discard() {
    // The name is gone after a successful rename.
    if output.number >= 0, let renaming { unlink(renaming.temporary) }
    try? output.close()
  }
}
