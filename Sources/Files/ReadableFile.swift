import Platform

/// The door that every file is read through.
///
/// Only a regular file passes: a FIFO would wait for a writer that never comes, a device has no end. Its size is held against a
/// limit before anything is read, so a sparse file of 200 GB is refused and not read.
package final class ReadableFile {
  package let path: String
  /// Its bytes when it was opened; 0 for the files of /proc, which tell none.
  package let size: Int
  /// The most bytes that may be read.
  package let limit: Int
  let descriptor: Int32
  private var consumed = 0

  /// - Parameter limit: The most bytes that a file of this kind may have.
  /// - Throws: ``FileError`` when it cannot be opened, is no regular file, or has more bytes.
  package init(_ path: String, limit: Int) throws(FileError) {
    func failure(_ reason: FileError.Reason) -> FileError { FileError(verb: "read", path: path, reason: reason) }
    // Looked at before it is opened, for opening a device may already do something.
    var status = stat()
    guard stat(path, &status) == 0 else { throw failure(.system(errno)) }
    guard FileKind(status) == .file else { throw failure(.notAFile(FileKind(status))) }
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(.system(errno)) }
    // And again, for another file may have taken the name meanwhile.
    let refusal: FileError.Reason? =
      if fstat(descriptor, &status) != 0 {
        .system(errno)
      } else if FileKind(status) != .file {
        .notAFile(FileKind(status))
      } else {
        status.st_size > limit ? .tooLarge(size: Int(status.st_size), limit: limit) : nil
      }
    if let refusal {
      close(descriptor)
      throw failure(refusal)
    }
    (self.path, self.limit, self.descriptor) = (path, limit, descriptor)
    size = Int(status.st_size)
  }

  deinit { close(descriptor) }

  /// The next bytes, at most so many; none at the end.
  ///
  /// - Throws: ``FileError``, also where the file has grown beyond the limit.
  package func read(_ count: Int) throws(FileError) -> [UInt8] {
    var code: Int32 = 0
    let piece = [UInt8](unsafeUninitializedCapacity: count) { buffer, got in
      // Linux moves at most 2 GiB in one call.
      while got < count {
        let (start, wanted) = (buffer.baseAddress.map { $0 + got }, min(count - got, 1 << 30))
        let moved = systemRead(descriptor, start, wanted)
        if moved < 0 && errno == EINTR { continue }
        if moved < 0 { code = errno }
        if moved <= 0 { return }
        got += moved
      }
    }
    guard code == 0 else { throw FileError(verb: "read", path: path, code: code) }
    consumed += piece.count
    guard consumed <= limit else {
      throw FileError(verb: "read", path: path, reason: .tooLarge(size: nil, limit: limit))
    }
    return piece
  }

  /// What is left.
  package func readToEnd() throws(FileError) -> [UInt8] {
    // One more than the size, which meets the end; what comes beyond (the file grew, or told no size) comes in pieces.
    let expected = max(size - consumed, 0)
    var bytes = try read(expected + 1)
    guard bytes.count > expected else { return bytes }
    while true {
      let piece = try read(1 << 16)
      if piece.isEmpty { return bytes }
      bytes += piece
    }
  }

  /// The file in memory, read when it is looked at; the caller unmaps it. It outlives this value.
  func map() throws(FileError) -> UnsafeRawBufferPointer {
    guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
      throw FileError(verb: "map", path: path, code: errno)
    }
    return UnsafeRawBufferPointer(start: start, count: size)
  }
}

/// Reads files as plain bytes.
public enum FileBytes {
  /// The bytes of a regular file.
  ///
  /// - Parameter limit: The most bytes that a file of this kind may have.
  /// - Throws: ``FileError`` when it cannot be read, is no regular file, or has more bytes.
  public static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8] {
    try ReadableFile(path, limit: limit).readToEnd()
  }

  /// The first bytes of a regular file of any size.
  package static func prefix(_ path: String, _ count: Int) throws(FileError) -> [UInt8] {
    try ReadableFile(path, limit: .max).read(count)
  }
}
