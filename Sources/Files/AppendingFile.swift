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

/// A log that only grows. What was appended survives a kill of this process; ``synchronise()`` makes it survive a loss of power.
package final class AppendingFile {
  package let url: URL
  private let descriptor: Int32

  /// Opens the file, or creates it.
  ///
  /// - Throws: `FileError`.
  package init(_ url: URL) throws {
    self.url = url
    descriptor = open(url.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileError(verb: "write", path: url.path, code: errno) }
  }

  deinit { close(descriptor) }

  /// - Throws: `FileError`, where the disk is full for instance.
  package func append(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if written < 0 {
        if errno == EINTR { continue }
        throw FileError(verb: "write", path: url.path, code: errno)
      }
      rest = rest.dropFirst(written)
    }
  }

  package func append(_ text: String) throws { try append(Array(text.utf8)) }

  package func synchronise() { fsync(descriptor) }
}
