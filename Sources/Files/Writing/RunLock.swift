import Platform

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Holds a folder for one process, until the value goes.
///
/// The lock is the system's (`flock`) on a hidden file, so it ends with the process, however that ends: what a killed process
/// leaves in the file says who it was and holds nobody up. The file goes with a lock that is given back.
///
/// ```swift
/// let lock = try RunLock(folder, command: "ddpm train")
/// defer { lock.release() }
/// ```
package final class RunLock {
  package static let fileName = ".ddpm-lock"

  package let folder: URL
  private let path: String
  private var descriptor: Int32

  /// - Parameter command: What this process does there, for whoever comes second.
  /// - Throws: ``RunLockError`` where another process holds it or the file system knows no locks, ``FileError`` where the lock's
  ///   file may not be written.
  package init(_ folder: URL, command: String) throws {
    self.folder = folder
    path = folder.appending(path: Self.fileName).path
    descriptor = try Self.lock(path, folder: folder)
    let holder = Holder(process: Int(getpid()), host: Self.host, command: command, started: Self.now)
    let text = Array((holder.json.compactText + "\n").utf8)
    // The lock holds without these words.
    ftruncate(descriptor, 0)
    _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
  }

  deinit { release() }

  /// Gives the folder back.
  package func release() {
    guard descriptor >= 0 else { return }
    // Removed while it is still held: whoever opened the file before then sees that it has no name any more.
    unlink(path)
    close(descriptor)
    descriptor = -1
  }

  private static func lock(_ path: String, folder: URL) throws -> Int32 {
    while true {
      let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o644)
      guard descriptor >= 0 else { throw FileError(verb: "lock", path: folder.path, code: errno) }
      var mine = stat(), named = stat()
      let isFile = fstat(descriptor, &mine) == 0 && FileKind(mine) == .file
      guard isFile, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        let code = isFile ? errno : EEXIST
        close(descriptor)
        switch code {
        case EWOULDBLOCK: throw RunLockError.held(folder: folder.path, by: Holder(readFrom: path))
        case ENOTSUP, EINVAL, ENOLCK, ENOSYS: throw RunLockError.unsupported(folder: folder.path)
        default: throw FileError(verb: "lock", path: folder.path, code: code)
        }
      }
      // The holder before us may have removed the file between our opening and locking it: then this is no longer the lock.
      if lstat(path, &named) == 0, (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino) { return descriptor }
      close(descriptor)
    }
  }

  private static var host: String {
    var name = [CChar](repeating: 0, count: 257)
    guard gethostname(&name, name.count - 1) == 0 else { return "an unnamed host" }
    return String(untilZero: name)
  }

  private static var now: String {
    var seconds = time(nil)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    let date = [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)]
    let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { Text.zeroPadded(Int($0), 2) }
    return date.map { Text.zeroPadded($0, 2) }.joined(separator: "-") + " \(clock.joined(separator: ":")) UTC"
  }
}

extension RunLock {
  /// Who holds a folder, as the lock's file says.
  package struct Holder: Equatable, Sendable, CustomStringConvertible {
    package let process: Int
    package let host: String
    package let command: String
    package let started: String

    var json: JSONValue {
      ["process": .integer(process), "host": .string(host), "command": .string(command), "started": .string(started)]
    }

    package var description: String { "process \(process) on \(host), '\(command)', since \(started)".onOneLine }
  }
}

extension RunLock.Holder {
  /// Nil where the file says nothing that can be understood: it is there for people.
  fileprivate init?(readFrom path: String) {
    guard let bytes = try? FileBytes.read(path, limit: 1 << 16), let object = try? JSONValue(parsing: bytes).object,
      let process = object["process"]?.integer, let host = object["host"]?.string,
      let command = object["command"]?.string, let started = object["started"]?.string
    else { return nil }
    self.init(process: process, host: host, command: command, started: started)
  }
}

/// A folder could not be held.
package enum RunLockError: Error, Equatable, CustomStringConvertible {
  case held(folder: String, by: RunLock.Holder?)
  case unsupported(folder: String)

  package var description: String {
    switch self {
    case .held(let folder, let holder):
      "\(folder): in use by \(holder?.description ?? "another process") (wait until it ends, or choose another folder)"
        .onOneLine
    case .unsupported(let folder):
      "\(folder): its file system cannot lock files, so two runs could not be kept apart (choose a folder on a local disk)"
        .onOneLine
    }
  }
}
