import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A log that only grows. What was appended survives a kill of this process; ``synchronise()`` makes it survive a loss of power.
package final class AppendingFile {
  package let url: URL
  private let output: OutputDescriptor

  /// Opens the file, or creates it.
  ///
  /// - Throws: `FileError`.
  package init(_ url: URL) throws {
    self.url = url
    output = try OutputDescriptor(opening: url.path, flags: O_CREAT | O_APPEND)
  }

  /// - Throws: `FileError`, where the disk is full for instance.
  package func append(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try output.write($0) } }

  package func append(_ text: String) throws { try append(Array(text.utf8)) }

  package func synchronise() { try? output.synchronise() }
}
