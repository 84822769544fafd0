#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Reads files as plain bytes.
public enum FileBytes {
  /// The bytes of a file, or its first `limit`.
  ///
  /// - Throws: ``FileError`` when it cannot be opened or read.
  public static func read(_ path: String, limit: Int = .max) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(verb: "read", path: path, code: errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FileError(verb: "read", path: path, code: errno) }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw FileError(verb: "read", path: path, code: EISDIR) }
    // Pipes and /proc tell no size: grow by chunks then. The size is a hint in any case; the file may change under us.
    var bytes: [UInt8] = []
    bytes.reserveCapacity(min(limit, max(Int(status.st_size), 0)))
    let chunk = min(limit, max(1 << 16, min(Int(status.st_size) + 1, 1 << 26)))
    while bytes.count < limit {
      let wanted = min(chunk, limit - bytes.count)
      let start = bytes.count
      var code: Int32 = 0
      let piece = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
        var got: Int
        #if canImport(Glibc)
          repeat { got = Glibc.read(descriptor, buffer.baseAddress, wanted) } while got < 0 && errno == EINTR
        #else
          repeat { got = Darwin.read(descriptor, buffer.baseAddress, wanted) } while got < 0 && errno == EINTR
        #endif
        if got < 0 { code = errno }
        count = max(got, 0)
      }
      guard code == 0 else { throw FileError(verb: "read", path: path, code: code) }
      if piece.isEmpty { break }
      if start == 0 && piece.count == limit { return piece }
      bytes.append(contentsOf: piece)
    }
    return bytes
  }
}
