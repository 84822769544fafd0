import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Temporary files: `.NAME.PID-MARK.ddpm-partial`, locked by the process that writes them.
extension AtomicFile {
  private static let suffix = ".ddpm-partial"

  /// - Parameter name: What the user called the file, for messages.
  static func temporaryFile(for path: String, named name: String) throws -> (path: String, descriptor: Int32) {
    let folder = Destination.folder(of: path)
    // A name has at most 255 bytes.
    var stem = path.split(separator: "/").last.map(String.init) ?? ""
    while stem.utf8.count > 180 { stem.removeLast() }
    // 64 random bits make a clash all but impossible; O_EXCL makes it harmless.
    for _ in 0..<8 {
      let mark = String(UInt64.random(in: 0 ... .max), radix: 36)
      let temporary = "\(folder)/.\(stem).\(getpid())-\(mark)\(suffix)"
      let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor >= 0 {
        // The lock ends with the process, however that ends. Where there are no locks, the process number must do.
        flock(descriptor, LOCK_EX | LOCK_NB)
        return (temporary, descriptor)
      }
      guard errno == EEXIST else { throw FileError(verb: "write", path: name, code: errno) }
    }
    throw FileError(verb: "write", path: name, code: EEXIST)
  }

  /// Removes temporary files that a killed process left in a folder, and none that is being written.
  public static func removeLeftovers(in folder: URL) {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path) else { return }
    for name in names where name.hasPrefix(".") && name.hasSuffix(suffix) {
      let path = folder.appending(path: name).path
      if isAbandoned(path, writer: writer(of: name)) { unlink(path) }
    }
  }

  private static func writer(of name: String) -> pid_t? {
    let mark = name.dropLast(suffix.count).split(separator: ".").last ?? ""
    return mark.split(separator: "-").first.flatMap { pid_t($0) }
  }

  private static func isAbandoned(_ path: String, writer: pid_t?) -> Bool {
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, FileKind(status) == .file else { return false }
    let locked = flock(descriptor, LOCK_EX | LOCK_NB)
    if locked != 0 && errno == EWOULDBLOCK { return false }
    // A number is given to another process in time, and a file is not locked in the instant it is made: believe a lock that can
    // be had once the file is a minute old.
    let isAlive = writer.map { (kill($0, 0) == 0 || errno == EPERM) && !isZombie($0) } ?? false
    return !isAlive || (locked == 0 && time(nil) - status.changed > 60)
  }

  /// Whether a process has ended and only its number is still taken, until its parent asks how it ended. Known where there is `/proc`.
  private static func isZombie(_ process: pid_t) -> Bool {
    // PID (NAME) STATE …, and a name may hold anything.
    let descriptor = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 512)
    let count = read(descriptor, &bytes, bytes.count)
    let text = bytes.prefix(max(count, 0))
    return text.lastIndex(of: UInt8(ascii: ")")).map { text.dropFirst($0 + 2).first == UInt8(ascii: "Z") } ?? false
  }
}
