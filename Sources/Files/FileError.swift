import Platform

/// A file could not be used: what was tried, on what, why it failed, and what to try.
public struct FileError: Error, Equatable, CustomStringConvertible, Sendable {
  /// What was being done, as in "cannot `verb` PATH".
  public let verb: String
  /// As the caller named it.
  public let path: String
  /// Why it failed; it decides the remedy that the message gives.
  public let reason: Reason

  /// Why a file could not be used.
  public enum Reason: Equatable, Sendable {
    /// The system refused, with its error number (`errno`).
    case system(Int32)
    /// There is something else where a file is wanted.
    case notAFile(FileKind)
    /// The file has more bytes than one of its kind may have here; `size` as far as it is known.
    case tooLarge(size: Int?, limit: Int)
    /// A FIFO that nobody reads from.
    case noReader
  }

  /// - Parameter verb: as in "cannot `verb` PATH".
  public init(verb: String, path: String, reason: Reason) {
    self.verb = verb
    self.path = path
    self.reason = reason
  }

  /// - Parameter code: the system's error number (`errno`).
  public init(verb: String, path: String, code: Int32) {
    self.init(verb: verb, path: path, reason: .system(code))
  }

  public var description: String {
    let problem: String, remedy: String
    switch reason {
    case .system(let code): (problem, remedy) = (Self.reason(code), Self.remedy(code))
    case .notAFile(let kind):
      problem = "it is \(kind.rawValue), where a regular file is wanted"
      remedy = kind == .folder ? "name a file, not a folder" : "copy what it holds into a file and name that"
    case .tooLarge(let size, let limit):
      problem =
        (size.map { "it has \(Text.grouped($0)) bytes" } ?? "it grows while it is read")
        + ", and a file of this kind may have \(Text.grouped(limit))"
      remedy = "check that it is the right file"
    case .noReader: (problem, remedy) = ("nobody reads from this FIFO", "start its reader first")
    }
    return ("cannot \(verb) \(path): \(problem)" + (remedy.isEmpty ? "" : " (\(remedy))")).onOneLine
  }

  private static func remedy(_ code: Int32) -> String {
    switch code {
    case ENOSPC, EDQUOT: "free some space or choose a folder on another disk; what was there before is intact"
    case EFBIG: "raise the limit on file sizes (ulimit -f) or choose another disk; what was there before is intact"
    case EACCES, EPERM, EROFS: "choose a place you may use, or change its permissions"
    case ENOENT, ENOTDIR: "check the spelling and that its folder exists"
    case EISDIR: "name a file, not a folder"
    case EMFILE, ENFILE: "raise the limit on open files (ulimit -n)"
    case EPIPE: "whatever read it has ended"
    case EIO: "check the disk or device"
    case ELOOP: "the link leads back to itself"
    case ENAMETOOLONG: "choose a shorter name"
    default: ""
    }
  }

  private static func reason(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    let reason = String(cString: text)
    return reason.prefix(1).lowercased() + reason.dropFirst()
  }
}

/// What can stand under a name.
public enum FileKind: String, Sendable {
  case file = "a file"
  case folder = "a folder"
  case link = "a symbolic link"
  case fifo = "a FIFO"
  case socket = "a socket"
  case characterDevice = "a character device"
  case blockDevice = "a block device"
  case other = "something unknown"

  /// What stands under a name, links followed; nil for nothing.
  package init?(at path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  init(_ status: stat) {
    self =
      switch status.st_mode & S_IFMT {
      case S_IFREG: .file
      case S_IFDIR: .folder
      case S_IFLNK: .link
      case S_IFIFO: .fifo
      case S_IFSOCK: .socket
      case S_IFCHR: .characterDevice
      case S_IFBLK: .blockDevice
      default: .other
      }
  }
}
