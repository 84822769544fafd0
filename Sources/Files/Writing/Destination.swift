import Platform

/// Where bytes for a name must go, so that nothing is replaced but a regular file.
enum Destination {
  /// A regular file, or none yet, under this path, which is no link.
  case file(String, existing: stat?)
  /// A FIFO or a character device: `/dev/null`, `/dev/full`, a terminal.
  case device(String)
  /// A descriptor that this process has open: `/dev/stdout`, `/dev/fd/3`.
  case descriptor(Int32)

  /// Follows links to the end, one that leads to nothing too.
  init(_ name: String) throws(FileError) {
    var path = name
    func failure(_ reason: FileError.Reason) -> FileError { FileError(verb: "write", path: name, reason: reason) }
    // The system's own limit.
    for _ in 0..<40 {
      if let number = Self.descriptorNumber(path) {
        self = .descriptor(number)
        return
      }
      var status = stat()
      guard lstat(path, &status) == 0 else {
        guard errno == ENOENT else { throw failure(.system(errno)) }
        self = .file(path, existing: nil)
        return
      }
      switch FileKind(status) {
      case .file:
        self = .file(path, existing: status)
        return
      case .fifo, .characterDevice:
        self = .device(path)
        return
      case .link:
        // The system may forbid this link to us (others' links in /tmp): ask it before we read where the link leads.
        var target = stat()
        guard stat(path, &target) == 0 || errno == ENOENT else { throw failure(.system(errno)) }
        path = try Self.target(ofLink: path)
      case let kind: throw failure(kind == .folder ? .system(EISDIR) : .notAFile(kind))
      }
    }
    throw failure(.system(ELOOP))
  }

  private static func target(ofLink path: String) throws(FileError) -> String {
    var code: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
      buffer.withMemoryRebound(to: CChar.self) { buffer in
        let length = buffer.baseAddress.map { readlink(path, $0, buffer.count) } ?? -1
        if length < 0 { code = errno }
        count = max(length, 0)
      }
    }
    guard code == 0 else { throw FileError(verb: "write", path: path, code: code) }
    guard let target = String(validating: bytes, as: UTF8.self) else {
      throw FileError(verb: "write", path: path, code: EILSEQ)
    }
    return target.hasPrefix("/") ? target : folder(of: path) + "/" + target
  }

  private static func descriptorNumber(_ path: String) -> Int32? {
    switch path {
    case "/dev/stdout": return 1
    case "/dev/stderr": return 2
    default:
      let prefix = ["/dev/fd/", "/proc/self/fd/"].first(where: path.hasPrefix)
      return prefix.flatMap { Int32(path.dropFirst($0.count)) }
    }
  }

  /// The folder that a path lies in.
  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
