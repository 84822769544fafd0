import Platform

/// What the process prints for other programs to read.
package enum StandardOutput {
  /// Writes bytes after all that was printed.
  ///
  /// - Throws: ``FileError``, where the disk is full or the reader has ended.
  package static func write(_ bytes: [UInt8]) throws(FileError) {
    try flush()
    let output = OutputDescriptor(dup(1), path: "standard output")
    var failure: FileError?
    bytes.withUnsafeBytes { bytes in
      do throws(FileError) { try output.write(bytes) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Hands on what was printed. Until then nobody knows whether it can be written: call it before ending with success.
  ///
  /// - Throws: ``FileError``.
  package static func flush() throws(FileError) {
    errno = 0
    guard flushPrinted() else {
      throw FileError(verb: "write", path: "standard output", code: errno == 0 ? EIO : errno)
    }
  }
}
