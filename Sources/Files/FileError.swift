#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A system call on a file failed: which, on what, why, and what to try.
public struct FileError: Error, CustomStringConvertible, Sendable {
  /// What was being done, as in "cannot `verb` PATH".
  public let verb: String
  public let path: String
  /// The system's error number (`errno`).
  public let code: Int32

  public init(verb: String, path: String, code: Int32) {
    self.verb = verb
    self.path = path
    self.code = code
  }

  public var description: String {
    let remedy: String
    switch code {
    case ENOSPC, EDQUOT: remedy = "free some space or choose a folder on another disk; what was there before is intact"
    case EACCES, EPERM, EROFS: remedy = "choose a place you may use, or change its permissions"
    case ENOENT, ENOTDIR: remedy = "check the spelling and that its folder exists"
    case EISDIR: remedy = "name a file, not a folder"
    case EMFILE, ENFILE: remedy = "raise the limit on open files (ulimit -n)"
    default: remedy = ""
    }
    return ("cannot \(verb) \(path): \(Self.reason(code))" + (remedy.isEmpty ? "" : " (\(remedy))")).onOneLine
  }

  private static func reason(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    let reason = String(cString: text)
    return reason.prefix(1).lowercased() + reason.dropFirst()
  }
}
