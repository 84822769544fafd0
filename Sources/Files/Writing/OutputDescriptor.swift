import Platform

/// An open file that is written to, closed with the value.
final class OutputDescriptor {
  /// For messages.
  let path: String
  private(set) var number: Int32

  init(_ number: Int32, path: String) { (self.number, self.path) = (number, path) }

  deinit { try? close() }

  /// Opens what is there, or creates a regular file; a FIFO without a reader is an error, and none is waited for.
  ///
  /// - Parameter flags: How a regular file is treated (`O_APPEND`, `O_EXCL`).
  convenience init(opening path: String, flags: Int32) throws(FileError) {
    let number = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | flags, 0o666)
    if number < 0 {
      // So says a socket too.
      guard errno == ENXIO else { throw FileError(verb: "write", path: path, code: errno) }
      let kind = FileKind(at: path)
      throw FileError(verb: "write", path: path, reason: kind == .fifo ? .noReader : .notAFile(kind ?? .other))
    }
    self.init(number, path: path)
    var status = stat()
    guard fstat(number, &status) == 0 else { throw failure(errno) }
    guard [.file, .fifo, .characterDevice].contains(FileKind(status)) else {
      throw FileError(verb: "write", path: path, reason: .notAFile(FileKind(status)))
    }
    // From here on a slow reader is waited for.
    _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) & ~O_NONBLOCK)
  }

  /// Writes a few bytes in the midst of a regular file.
  func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
    guard pwrite(number, bytes, bytes.count, off_t(offset)) == bytes.count else { throw failure(errno) }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    guard !bytes.isEmpty else { return }
    let code = Self.withoutSignals { () -> Int32 in
      var rest = bytes[...]
      while !rest.isEmpty {
        // Linux moves at most 2 GiB in one call.
        let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
        let written = systemWrite(number, piece.baseAddress, piece.count)
        if written < 0 {
          if errno == EINTR { continue }
          return errno
        }
        rest = rest.dropFirst(written)
      }
      return 0
    }
    guard code == 0 else { throw failure(code) }
  }

  func synchronise() throws(FileError) {
    // FIFOs and devices keep nothing that could be forced out.
    guard fsync(number) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS else { throw failure(errno) }
  }

  func close() throws(FileError) {
    guard number >= 0 else { return }
    let closed = systemClose(number)
    number = -1
    guard closed == 0 || errno == EINTR else { throw failure(errno) }
  }

  func failure(_ code: Int32) -> FileError { FileError(verb: "write", path: path, code: code) }

  /// A reader that ended (SIGPIPE) and the limit on file sizes (SIGXFSZ) end a process that does not say otherwise. Here they
  /// are errors: this thread holds the signals back, and takes the one that its own write raised.
  private static func withoutSignals(_ body: () -> Int32) -> Int32 {
    var held = sigset_t(), before = sigset_t(), pending = sigset_t()
    sigemptyset(&held)
    sigaddset(&held, SIGPIPE)
    sigaddset(&held, SIGXFSZ)
    guard pthread_sigmask(SIG_BLOCK, &held, &before) == 0 else { return body() }
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let code = body()
    let signal = code == EPIPE ? SIGPIPE : code == EFBIG ? SIGXFSZ : 0
    if signal != 0, sigpending(&pending) == 0, sigismember(&pending, signal) == 1 {
      var raised: Int32 = 0
      sigemptyset(&held)
      sigaddset(&held, signal)
      sigwait(&held, &raised)
    }
    return code
  }
}
