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

/// A file that appears whole or not at all.
///
/// Bytes go to a hidden temporary file in the same folder; ``commit()`` forces them to the disk and renames the file into place,
/// which POSIX makes atomic. A crash, a full disk or a `kill -9` at any moment leaves the old file as it was.
/// A file that is never committed vanishes with the value.
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
  private let temporaryPath: String
  private var descriptor: Int32

  /// Opens a temporary file beside `url`.
  ///
  /// - Throws: ``FileError`` when its folder is missing or may not be written.
  public init(_ url: URL) throws {
    self.url = url
    let target = url.path
    let folder = url.deletingLastPathComponent().path
    var status = stat()
    if stat(target, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
      throw FileError(verb: "write", path: target, code: EISDIR)
    }
    var generator = SystemRandomNumberGenerator()
    var opened: (path: String, descriptor: Int32)?
    // 64 random bits make a clash all but impossible; O_EXCL makes it harmless.
    for _ in 0..<8 where opened == nil {
      let mark = String(generator.next(), radix: 36)
      let path = "\(folder)/.\(url.lastPathComponent).\(mark)\(Self.suffix)"
      let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor >= 0 {
        opened = (path, descriptor)
      } else if errno != EEXIST {
        throw FileError(verb: "write", path: target, code: errno)
      }
    }
    guard let opened else { throw FileError(verb: "write", path: target, code: EEXIST) }
    (temporaryPath, descriptor) = opened
  }

  deinit { discard() }

  /// Appends bytes to the temporary file.
  ///
  /// - Throws: ``FileError``; the temporary file is then gone, and the old file intact.
  public func write(contentsOf bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      // Linux moves at most 2 GiB in one call.
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
      #if canImport(Glibc)
        let written = Glibc.write(descriptor, piece.baseAddress, piece.count)
      #else
        let written = Darwin.write(descriptor, piece.baseAddress, piece.count)
      #endif
      if written < 0 {
        if errno == EINTR { continue }
        throw failure(errno)
      }
      rest = rest.dropFirst(written)
    }
  }

  /// Appends an array's elements, as they lie in memory, to the temporary file.
  public func write<Element: BitwiseCopyable>(contentsOf elements: [Element]) throws {
    try elements.withUnsafeBytes { try write(contentsOf: $0) }
  }

  /// Appends text in UTF-8 to the temporary file.
  public func write(contentsOf text: String) throws { try write(contentsOf: Array(text.utf8)) }

  /// Forces the bytes to the disk and puts the file in its place.
  ///
  /// - Throws: ``FileError``; the old file is then intact.
  public func commit() throws {
    precondition(descriptor >= 0, "AtomicFile for \(url.path) was already committed or had failed")
    guard fsync(descriptor) == 0 else { throw failure(errno) }
    let closed = close(descriptor)
    descriptor = -1
    guard closed == 0 else { throw failure(errno) }
    guard rename(temporaryPath, url.path) == 0 else { throw failure(errno) }
    // The rename itself must reach the disk; some file systems refuse fsync on a folder, and then nothing is lost but time.
    Self.synchronise(folder: url.deletingLastPathComponent())
  }

  /// Writes all bytes to `url`, whole or not at all.
  public static func write(_ bytes: [UInt8], to url: URL) throws {
    let file = try AtomicFile(url)
    try file.write(contentsOf: bytes)
    try file.commit()
  }

  /// Writes text in UTF-8 to `url`, whole or not at all.
  public static func write(_ text: String, to url: URL) throws { try write(Array(text.utf8), to: url) }

  /// Removes temporary files that a killed process left in a folder. Call it only where nobody else is writing.
  public static func removeLeftovers(in folder: URL) {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else { return }
    for name in names where name.hasPrefix(".") && name.hasSuffix(suffix) {
      unlink(folder.appending(path: name).path)
    }
  }

  /// Forces a folder's entries (new and renamed files) to the disk.
  public static func synchronise(folder: URL) {
    let descriptor = open(folder.path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }

  private static let suffix = ".ddpm-partial"

  private func failure(_ code: Int32) -> FileError {
    discard()
    return FileError(verb: "write", path: url.path, code: code)
  }

  private func discard() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
    // After a successful rename the name no longer exists, and this does nothing.
    unlink(temporaryPath)
  }
}
